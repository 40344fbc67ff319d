import { type QueueStatus, states } from '#shared/protocol/queue-schemas.ts';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import { unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Attempt, Item, Lease, Settled, StateChange } from './core/item.ts';
import type { Backoff } from './core/retry-policy.ts';

// Rows as brokers before version 2 of the format wrote them: MessagePack arrays. They are read, never written.

const rowVersion = 1;

type Row = readonly [
  version: number,
  state: number,
  order: number,
  queue: string,
  band: number,
  readyOrder: number,
  readyAt: number,
  attempt: number,
  attemptsMax: number,
  backoff: Backoff,
  enqueuedAt: number,
  token: number,
  payloadIsJson: boolean,
  payloadBytes: number,
  attempts: readonly Attempt[],
  transitions: readonly (readonly [number, number, number, string])[],
  group: string | null,
  key: string | null,
  timeoutMs: number | null,
  expiresAt: number | null,
  runAt: number | null,
  startedAt: number | null,
  finishedAt: number | null,
  lease: Lease | null,
  settled: Settled | null,
  progress: Uint8Array | null,
  result: Uint8Array | null,
  contentType: string | null,
  headers: Readonly<Record<string, string>> | null,
];

/** Throws on a row that this broker cannot read. */
export function decodeItem1(bytes: Uint8Array): Item {
  const version = versionOf(bytes);
  if (version !== rowVersion) {
    throw new StartRefused(
      exitCodes.missingPart,
      `a row has version ${version}, this broker reads ${rowVersion} and 2: start a newer broker`,
    );
  }
  const row = unpackRecord(bytes) as Row;
  return {
    order: row[2],
    queue: row[3],
    state: stateAt(row[1]),
    band: row[4],
    readyOrder: row[5],
    readyAt: row[6],
    group: row[16] ?? undefined,
    key: row[17] ?? undefined,
    attempt: row[7],
    attemptsMax: row[8],
    backoff: row[9],
    timeoutMs: row[18] ?? undefined,
    expiresAt: row[19] ?? undefined,
    enqueuedAt: row[10],
    runAt: row[20] ?? undefined,
    startedAt: row[21] ?? undefined,
    finishedAt: row[22] ?? undefined,
    token: row[11],
    lease: row[23] ?? undefined,
    settled: row[24] ?? undefined,
    attempts: row[14],
    transitions: row[15].map(([at, from, to, why]): StateChange => ({
      at,
      from: from < 0 ? null : stateAt(from),
      to: stateAt(to),
      why,
    })),
    progress: row[25] ?? undefined,
    result: row[26] ?? undefined,
    contentType: row[27] ?? undefined,
    headers: row[28] ?? undefined,
    payloadIsJson: row[12],
    payloadBytes: row[13],
    inline: undefined,
    fields: undefined,
    parent: undefined,
    family: undefined,
    logged: undefined,
  };
}

/** MessagePack arrays of more than fifteen begin with 0xdc; rows of later versions begin with their version. */
const versionOf = (bytes: Uint8Array): number | undefined => bytes[bytes[0] === 0xdc ? 3 : 0];

function stateAt(index: number): QueueStatus {
  const state = states[index];
  if (state === undefined) throw new Error(`a row has state ${index}, which does not exist`);
  return state;
}
