import type { Meter } from '@opentelemetry/api';
import { countedKinds } from './core/figures.ts';
import type { HeldMessages } from './held-messages.ts';
import type { Backlog } from './inbox.ts';
import type { Totals } from './totals.ts';

export interface Observed {
  readonly totals: Totals;
  readonly held: HeldMessages;
  readonly backlog: () => Backlog;
}

/** The collector's figures about itself, read when they are exported. */
export function observeFigures(meter: Meter, { totals, held, backlog }: Observed): void {
  meter
    .createObservableCounter('trivet.telemetry.records', {
      description: 'Records by kind and by what became of them.',
      unit: '{record}',
    })
    .addCallback((result) => {
      for (const kind of countedKinds) {
        for (const [outcome, count] of Object.entries(totals.figures.kinds[kind]))
          result.observe(count, { kind, outcome });
      }
    });
  meter
    .createObservableCounter('trivet.telemetry.dead_letters', {
      description: 'Dead-lettered records by reason.',
      unit: '{record}',
    })
    .addCallback((result) => {
      for (const [reason, count] of Object.entries(totals.figures.reasons)) result.observe(count, { reason });
    });
  const gauge = (name: string, description: string, unit: string, read: () => number) =>
    meter.createObservableGauge(name, { description, unit }).addCallback((result) => result.observe(read()));
  gauge('trivet.telemetry.backlog', 'Messages that nobody has taken.', '{message}', () => backlog().waiting);
  gauge(
    'trivet.telemetry.backlog.age',
    'Age of the oldest message that is not acknowledged.',
    'ms',
    () => backlog().ageMs,
  );
  gauge('trivet.telemetry.held', 'Messages taken and not acknowledged.', '{message}', () => held.messages);
  gauge('trivet.telemetry.series', 'Series that are kept.', '{series}', () => totals.seriesCount);
}
