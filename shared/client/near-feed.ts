import {
  CacheEvent,
  type MissedReply,
  MissedReply as MissedReplySchema,
} from '#shared/protocol/cache-schemas.ts';
import { decode, json } from '#shared/protocol/encoding.ts';
import type { Result } from '#shared/protocol/errors.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Msg, type Nats, type Subscription, onReconnect, subscribe } from '#shared/runtime/nats.ts';
import { type Gap, type NearCache, silenceMsMax } from './near-cache.ts';

export interface NearFeedOptions {
  readonly nats: Nats;
  readonly clock: Clock;
  readonly namespace: string;
  /** The subject of the namespace's events. */
  readonly subject: string;
  readonly near: NearCache;
  /** Brings what is known of the nodes up to date; false where that was not possible. */
  readonly refresh: () => Promise<boolean>;
  readonly ask: (operation: 'configure' | 'missed', body: object) => Promise<Result<unknown>>;
}

const checkEvent = validator(CacheEvent);
const checkMissed = validator(MissedReplySchema);

/** How often open gaps are asked for once more, and silent sources are given up, in milliseconds. */
const roundMs = 1_000;

/** An epoch that no node has: the answer to it says where the node that answers stands. */
const noEpoch = '-';

/** Hears a namespace's events, hands them to its near cache, and asks for what was missed. */
export class NearFeed {
  readonly #options: NearFeedOptions;
  readonly #asked = new Set<string>();
  /** The epoch in which each node was heard last. */
  readonly #epochs = new Map<string, string>();
  #subscription: Subscription | undefined;
  #stopWatching = () => {};
  #cancelRound = () => {};
  #askedToTellMs = -Infinity;
  #hasWarned = false;

  constructor(options: NearFeedOptions) {
    this.#options = options;
  }

  /** Begins to listen; the near cache keeps nothing before somebody speaks. */
  start(): void {
    const { nats, subject, near } = this.#options;
    const onForbidden = (error: Error) => {
      this.stop();
      near.suspectAll();
      this.#warn('this client may not hear what changes there', error);
    };
    this.#subscription = subscribe(nats, subject, { onForbidden }, (message) => this.#hear(message));
    this.#stopWatching = onReconnect(nats, () => this.#closeAll(near.suspectAll()));
    void this.#round();
  }

  /** The epoch in which a node tells what happens; one that nobody has for a node that was not heard yet. */
  epochOf(node: string | undefined): string | undefined {
    return node === undefined ? undefined : (this.#epochs.get(node) ?? noEpoch);
  }

  stop(): void {
    this.#cancelRound();
    this.#stopWatching();
    // A closed connection has nothing to end.
    this.#subscription?.drain().catch(() => {});
    this.#subscription = undefined;
  }

  #hear({ data }: Msg): void {
    const decoded = decode(data, json);
    const event = decoded.ok ? checkEvent(decoded.value) : decoded;
    // What this client cannot read is not passed over: the sequence then has a hole, and it is asked for.
    if (!event.ok) return;
    this.#note(event.value.epoch);
    const gap = this.#options.near.take(event.value, this.#options.clock.monotonicMs());
    if (gap !== undefined) void this.#close(gap);
  }

  async #round(): Promise<void> {
    const { near, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    near.prune(nowMs);
    this.#closeAll(near.openGaps());
    if (!near.isLive(nowMs) && nowMs - this.#askedToTellMs >= silenceMsMax) {
      this.#askedToTellMs = nowMs;
      await this.#askToTell();
    }
    if (this.#subscription !== undefined) this.#cancelRound = clock.after(roundMs, () => void this.#round());
  }

  /** Whoever wants a near cache wants the namespace to tell what changes; a node that began anew may not know. */
  async #askToTell(): Promise<void> {
    const told = await this.#options.ask('configure', { nearCache: true });
    if (told.ok) {
      const missed = await this.#missed({ epoch: noEpoch, after: 0 });
      // Who has ceased to listen would keep what nobody tells it of.
      if (missed !== undefined && this.#subscription !== undefined) {
        this.#note(missed.epoch);
        this.#options.near.learn(missed, this.#options.clock.monotonicMs());
      }
    } else if (told.error.code === 'forbidden') this.#warn('nobody who may has set nearCache', told.error);
  }

  #warn(reason: string, { message }: { readonly message: string }): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const problem = `the near cache of ${this.#options.namespace} stays empty: ${reason} (${message})`;
    process.emitWarning(problem, 'TrivetWarning');
  }

  /** An epoch begins with the id of its node. */
  #note(epoch: string): void {
    const [node = ''] = epoch.split('.', 1);
    this.#epochs.set(node, epoch);
  }

  #closeAll(gaps: readonly Gap[]): void {
    for (const gap of gaps) void this.#close(gap);
  }

  /**
   * One question a source at a time. What came of it is taken up by who answers for which key now: a copy of a key that
   * has moved, unnoticed, to the node that is asked would otherwise be another node's affair.
   */
  async #close(gap: Gap): Promise<void> {
    if (this.#asked.has(gap.epoch)) return;
    this.#asked.add(gap.epoch);
    const isCurrent = this.#subscription !== undefined && (await this.#options.refresh());
    const reply = isCurrent ? await this.#missed(gap) : undefined;
    this.#asked.delete(gap.epoch);
    if (this.#subscription === undefined) return;
    if (reply !== undefined) this.#note(reply.epoch);
    this.#options.near.close(gap, reply, this.#options.clock.monotonicMs());
  }

  async #missed(gap: Gap): Promise<MissedReply | undefined> {
    const reply = await this.#options.ask('missed', gap);
    const checked = reply.ok ? checkMissed(reply.value) : reply;
    return checked.ok ? checked.value : undefined;
  }
}
