import { type TelemetryType, telemetryKinds } from '#shared/protocol/telemetry-records.ts';

/** What is counted apart: the five kinds of records, OTLP requests, and messages of no known kind. */
export type CountedKind = TelemetryType | 'otlp' | 'other';

/** Where a record can end. `received` is the sum of all of them and of what is in flight. */
export type End = 'exported' | 'filtered' | 'sampled' | 'deadLettered';

export type KindFigures = { [Figure in 'received' | End]: number };

/**
 * Totals since the collector's data folder was made, kept in the same transaction as what they count, so that
 * `received = exported + filtered + sampled + deadLettered + in flight` holds through crashes.
 */
export interface Figures {
  readonly kinds: Record<CountedKind, KindFigures>;
  /** Dead-lettered records by reason. */
  readonly reasons: Record<string, number>;
}

export const countedKinds: readonly CountedKind[] = [...telemetryKinds, 'otlp', 'other'];

export function emptyFigures(): Figures {
  const none = (): KindFigures => ({ received: 0, exported: 0, filtered: 0, sampled: 0, deadLettered: 0 });
  const kinds = Object.fromEntries(countedKinds.map((kind) => [kind, none()]));
  return { kinds: kinds as Record<CountedKind, KindFigures>, reasons: {} };
}

/** Adds `counted` to `total`, in place. */
export function addFigures(total: Figures, counted: Figures): void {
  for (const kind of countedKinds) {
    const into = total.kinds[kind];
    const from = counted.kinds[kind];
    into.received += from.received;
    into.exported += from.exported;
    into.filtered += from.filtered;
    // Folders of former versions do not have it.
    into.sampled += (from as Partial<KindFigures>).sampled ?? 0;
    into.deadLettered += from.deadLettered;
  }
  for (const [reason, count] of Object.entries(counted.reasons))
    total.reasons[reason] = (total.reasons[reason] ?? 0) + count;
}

/** Records of `kind` that have come and not ended yet, by the figures. */
export function inFlight(figures: Figures, kind: CountedKind): number {
  const { received, exported, filtered, sampled, deadLettered } = figures.kinds[kind];
  return received - exported - filtered - sampled - deadLettered;
}
