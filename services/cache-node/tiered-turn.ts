import { type Refusal, notDone, refuse } from '#shared/protocol/errors.ts';
import type { Tier } from './tier.ts';

export interface TieredTurn {
  readonly tier: Tier;
  /** Keys whose entries the decision looks at. */
  readonly reads: readonly string[];
  /** When the request came, by the monotonic clock. */
  readonly startedMs: number;
  /** Whether this node may still answer: that may have changed while it waited. Asked before memory is touched. */
  readonly owns: () => boolean;
  /** Whether nobody can have taken over from this node meanwhile. */
  readonly isOwner: () => boolean;
  /** Decides and writes the reply: undefined where it comes later. */
  readonly decide: () => Uint8Array | Refusal | undefined;
}

export const notNow = refuse('unavailable', 'this node does not answer for its keys just now', notDone).error;
export const notMine = refuse('wrong_owner', 'this node does not answer for its keys just now').error;
export const notOwner = refuse('unavailable', 'this node no longer owns the cache').error;

/** The turn of a request on a namespace with a backend: fetch what is missing, decide, write what changed, answer. */
export async function decideTiered(turn: TieredTurn): Promise<Uint8Array | Refusal | undefined> {
  const { tier, reads, startedMs } = turn;
  const untilMs = tier.untilMs(startedMs);
  // What is fetched for keys that have gone is not taken in: it would lie here, old, when they come back.
  for (let missing: Promise<void> | undefined; turn.owns(); await missing) {
    missing = tier.prepare(reads, untilMs);
    if (missing === undefined) return decide(turn, untilMs);
  }
  return notOwner;
}

async function decide(turn: TieredTurn, untilMs: number): Promise<Uint8Array | Refusal | undefined> {
  const { tier } = turn;
  tier.deciding(untilMs);
  const reply = turn.decide();
  return (await whyNotKept(tier, turn.isOwner)) ?? reply;
}

/**
 * What the caller of a change that was just decided hears instead of its success; undefined where it stays.
 * @param isOwner whether nobody can have taken over from this node
 */
export async function whyNotKept(tier: Tier, isOwner: () => boolean): Promise<Refusal | undefined> {
  const outcome = await tier.decided();
  // A process that was frozen in between wakes up with a change that its successor knows nothing of; nor does he know
  // what is in a file that is this one's alone.
  if (outcome !== undefined && (!outcome.isWritten || tier.isOwn) && !isOwner()) return overtaken;
  return outcome?.refusal;
}

const overtaken = refuse(
  'unavailable',
  'another node took over before the change was certain: it may be lost, try again',
).error;
