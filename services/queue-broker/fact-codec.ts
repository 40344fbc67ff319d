import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Batch, Fact, Fence } from './core/facts.ts';
import { decodePlainItem, encodePlainItem } from './plain-item-codec.ts';
import { decodeRun, encodeRun, isRun, runFrom } from './plain-run-codec.ts';

// The versions of the log's records. A newer broker reads older ones; an older one refuses newer ones. In version 1
// each completed item was a fact of its own; since version 2 plain items are bytes (`plain-item-codec.ts`); since
// version 3 those that follow each other and are alike stand together (`plain-run-codec.ts`).
const batchVersion = 3;
const fenceVersion = 1;

export const encodeBatch = (batch: Batch): Uint8Array =>
  packRecord({ ...batch, facts: written(batch.facts) });

/** Facts as they stand in a record. */
function written(facts: readonly Fact[]): readonly (Fact | Uint8Array)[] {
  const list: (Fact | Uint8Array)[] = [];
  for (let from = 0; from < facts.length;) {
    const run = runFrom(facts, from);
    if (run.length > 1) {
      list.push(encodeRun(run));
      from += run.length;
      continue;
    }
    const fact = facts[from] as Fact;
    list.push(fact.kind === 'enqueued' ? (encodePlainItem(fact) ?? fact) : fact);
    from += 1;
  }
  return list;
}

export const encodeFence = (fence: Fence): Uint8Array => packRecord(fence);

/** Throws on a record that is damaged or newer than this broker. */
export function decodeBatch(bytes: Uint8Array, sequence: number): Batch {
  const batch = unpackRecord(bytes) as Batch1 | WrittenBatch;
  if (batch.version === 1) return { ...batch, version: batchVersion, facts: batch.facts.map(upgraded) };
  if (batch.version !== 2) assertVersion(batch.version, batchVersion, sequence);
  return { ...batch, version: batchVersion, facts: batch.facts.flatMap(read) };
}

function read(fact: Fact | Uint8Array): Fact | readonly Fact[] {
  if (!(fact instanceof Uint8Array)) return fact;
  return isRun(fact) ? decodeRun(fact) : decodePlainItem(fact);
}

export function decodeFence(bytes: Uint8Array, sequence: number): Fence {
  const fence = unpackRecord(bytes) as Fence;
  assertVersion(fence.version, fenceVersion, sequence);
  return fence;
}

interface WrittenBatch extends Omit<Batch, 'facts' | 'version'> {
  readonly version: 2 | 3;
  readonly facts: readonly (Fact | Uint8Array)[];
}

interface Batch1 {
  readonly version: 1;
  readonly epoch: number;
  readonly at: number;
  readonly facts: readonly (Fact | Completed1)[];
}

interface Completed1 {
  readonly kind: 'completed';
  readonly order: number;
  readonly result?: Uint8Array;
}

function upgraded(fact: Fact | Completed1): Fact {
  if (fact.kind !== 'completed' || !('order' in fact)) return fact;
  const { order, ...rest } = fact;
  return { ...rest, orders: [order] };
}

function assertVersion(version: number, newest: number, sequence: number): void {
  if (version === newest) return;
  throw new StartRefused(
    exitCodes.missingPart,
    `record ${sequence} of the log has version ${version}, this broker reads up to ${newest}: start a newer broker`,
  );
}
