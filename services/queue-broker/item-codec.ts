import { type QueueStatus, states } from '#shared/protocol/queue-schemas.ts';
import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Attempt, Item, Lease, Settled, StateChange } from './core/item.ts';
import type { Backoff } from './core/retry-policy.ts';

// A row is an array, so that a million rows do not hold the names of their fields a million times; this file is the
// only one that knows the positions. The two first ones let a writer see a row's old state without decoding it.

const rowVersion = 1;
/** MessagePack: array of up to 2^16 − 1 elements (3 bytes), version, state. */
const stateOffset = 4;

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

export function encodeItem(item: Item): Uint8Array {
  const row: Row = [
    rowVersion,
    states.indexOf(item.state),
    item.order,
    item.queue,
    item.band,
    item.readyOrder,
    item.readyAt,
    item.attempt,
    item.attemptsMax,
    item.backoff,
    item.enqueuedAt,
    item.token,
    item.payloadIsJson,
    item.payloadBytes,
    item.attempts,
    item.transitions.map((one) => [
      one.at,
      one.from === null ? -1 : states.indexOf(one.from),
      states.indexOf(one.to),
      one.why,
    ]),
    item.group ?? null,
    item.key ?? null,
    item.timeoutMs ?? null,
    item.expiresAt ?? null,
    item.runAt ?? null,
    item.startedAt ?? null,
    item.finishedAt ?? null,
    item.lease ?? null,
    item.settled ?? null,
    item.progress ?? null,
    item.result ?? null,
    item.contentType ?? null,
    item.headers ?? null,
  ];
  return packRecord(row);
}

/** Throws on a row that this broker cannot read. */
export function decodeItem(bytes: Uint8Array): Item {
  const row = unpackRecord(bytes) as Row;
  if (row[0] !== rowVersion) throw new Error(`a row has version ${row[0]}, this broker reads ${rowVersion}`);
  return {
    state: stateAt(row[1]),
    order: row[2],
    queue: row[3],
    band: row[4],
    readyOrder: row[5],
    readyAt: row[6],
    attempt: row[7],
    attemptsMax: row[8],
    backoff: row[9],
    enqueuedAt: row[10],
    token: row[11],
    payloadIsJson: row[12],
    payloadBytes: row[13],
    attempts: row[14],
    transitions: row[15].map(([at, from, to, why]): StateChange => ({
      at,
      from: from < 0 ? null : stateAt(from),
      to: stateAt(to),
      why,
    })),
    ...given('group', row[16]),
    ...given('key', row[17]),
    ...given('timeoutMs', row[18]),
    ...given('expiresAt', row[19]),
    ...given('runAt', row[20]),
    ...given('startedAt', row[21]),
    ...given('finishedAt', row[22]),
    ...given('lease', row[23]),
    ...given('settled', row[24]),
    ...given('progress', row[25]),
    ...given('result', row[26]),
    ...given('contentType', row[27]),
    ...given('headers', row[28]),
  };
}

/** The state of an encoded row. O(1). */
export const encodedState = (bytes: Uint8Array): QueueStatus => stateAt(bytes[stateOffset] ?? 0);

function stateAt(index: number): QueueStatus {
  const state = states[index];
  if (state === undefined) throw new Error(`a row has state ${index}, which does not exist`);
  return state;
}

const given = <K extends string, V>(name: K, value: V | null): { readonly [N in K]?: V } =>
  value === null ? {} : ({ [name]: value } as { readonly [N in K]?: V });
