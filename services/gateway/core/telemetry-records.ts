import { type Refusal, type Result, refuseField } from '#shared/protocol/errors.ts';
import { telemetryHttpRecords } from '#shared/protocol/http-schemas.ts';
import { type TelemetryType, isTelemetryKind, telemetryKinds } from '#shared/protocol/telemetry-records.ts';
import { validator } from '#shared/protocol/validation.ts';

/** A record that can be published, and where it stood in the request. */
export interface SortedRecord {
  readonly index: number;
  readonly record: Readonly<Record<string, unknown>>;
}

export interface RejectedRecord {
  readonly index: number;
  readonly error: Refusal;
}

export interface SortedRecords {
  readonly byKind: ReadonlyMap<TelemetryType, readonly SortedRecord[]>;
  readonly rejected: readonly RejectedRecord[];
}

const validators: Readonly<Record<TelemetryType, (value: unknown) => Result<unknown>>> = {
  metric: validator(telemetryHttpRecords.metric),
  event: validator(telemetryHttpRecords.event),
  performance: validator(telemetryHttpRecords.performance),
  error: validator(telemetryHttpRecords.error),
  log: validator(telemetryHttpRecords.log),
};

/** Sorts the records of `POST /telemetry/record` by kind, and out what is no record. Never throws; O(records). */
export function sortRecords(records: readonly unknown[]): SortedRecords {
  const byKind = new Map<TelemetryType, SortedRecord[]>();
  const rejected: RejectedRecord[] = [];
  for (const [index, record] of records.entries()) {
    const kind = kindOf(record);
    if (kind === undefined) {
      rejected.push({
        index,
        error: refuseField('type', `must be one of ${telemetryKinds.join(', ')}`).error,
      });
      continue;
    }
    const checked = validators[kind](record);
    if (!checked.ok) {
      rejected.push({ index, error: checked.error });
      continue;
    }
    const sorted = byKind.get(kind) ?? [];
    sorted.push({ index, record: published(kind, record as Record<string, unknown>) });
    byKind.set(kind, sorted);
  }
  return { byKind, rejected };
}

function kindOf(record: unknown): TelemetryType | undefined {
  if (typeof record !== 'object' || record === null) return undefined;
  const kind = (record as { readonly type?: unknown }).type;
  return typeof kind === 'string' && isTelemetryKind(kind) ? kind : undefined;
}

/** The record as it is published: without its kind, which the subject says, and with its own `type` back in place. */
function published(kind: TelemetryType, record: Record<string, unknown>): Record<string, unknown> {
  const { type: _kind, [`${kind}_type`]: ownType, ...others } = record;
  return ownType === undefined ? others : { ...others, type: ownType };
}
