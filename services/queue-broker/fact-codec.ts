import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Batch, Fence } from './core/facts.ts';

/** The version of the log's records. A newer broker reads older ones; an older one refuses newer ones. */
const logVersion = 1;

export const encodeBatch = (batch: Batch): Uint8Array => packRecord(batch);

export const encodeFence = (fence: Fence): Uint8Array => packRecord(fence);

/** Throws on a record that is damaged or newer than this broker. */
export function decodeBatch(bytes: Uint8Array, sequence: number): Batch {
  const batch = unpackRecord(bytes) as Batch;
  assertVersion(batch.version, sequence);
  return batch;
}

export function decodeFence(bytes: Uint8Array, sequence: number): Fence {
  const fence = unpackRecord(bytes) as Fence;
  assertVersion(fence.version, sequence);
  return fence;
}

function assertVersion(version: number, sequence: number): void {
  if (version === logVersion) return;
  throw new Error(`record ${sequence} of the log has version ${version}, this broker reads ${logVersion}`);
}
