import { expect, test } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { readMessage } from '#services/telemetry-collector/core/read-message.ts';
import { Rules } from '#services/telemetry-collector/core/rules.ts';
import { defaultLimits } from '#services/telemetry-collector/core/series.ts';
import { Answers, type AnswersOptions } from '#services/telemetry-collector/answers.ts';
import { Totals } from '#services/telemetry-collector/totals.ts';

const rules = new Rules({}, 'debug');

/** Totals that are told messages of metrics, each committed at its time. */
function counting() {
  const totals = new Totals(defaultLimits);
  let sequence = 0;
  const take = (nowMs: number, ...records: readonly object[]): void => {
    sequence += 1;
    const message = { kind: 'metric', contentType: json, body: encode(records, json) };
    const context = { sequence, receivedMs: nowMs, origin: undefined, rules };
    const read = readMessage(message, context, totals.known);
    totals.apply({ sequence, read, mustBeSent: false, mayLearn: true, wanted: () => new Map() });
    totals.committed(totals.takeChange(nowMs));
  };
  return { totals, take };
}

test('a gauge that was once dated into the future goes on with the values that come after it', () => {
  const { totals, take } = counting();
  const nowMs = Date.UTC(2026, 0, 1);
  take(nowMs, { name: 'depth', value: 1, timestamp: '2199-01-01T00:00:00Z' });
  expect([...totals.series]).toMatchObject([{ value: 1, atMs: nowMs }]);
  take(nowMs + 1_000, { name: 'depth', value: 2, timestamp: nowMs + 1_000 });
  take(nowMs + 2_000, { name: 'depth', value: 3 });
  expect([...totals.series]).toMatchObject([{ value: 3, atMs: nowMs + 2_000 }]);
  // What is older than what there is stays without effect.
  take(nowMs + 3_000, { name: 'depth', value: 4, timestamp: nowMs });
  expect([...totals.series]).toMatchObject([{ value: 3 }]);
});

test('a step of the history in which a collector was started again is one point, with its last value', () => {
  const { totals, take } = counting();
  const stepMs = Date.UTC(2026, 0, 1);
  take(stepMs + 5_000, { name: 'sold', type: 'counter', value: 3 });
  const answers = new Answers({
    collector: 'one',
    nowMs: () => stepMs + 6_000,
    totals,
    recent: { recent: () => [], points: () => [{ atMs: stepMs, value: 1, sum: 0 }] },
  } as unknown as AnswersOptions);
  const history = answers.history({ name: 'sold' });
  expect(history.ok && history.value.series[0]?.points.map(({ value }) => value)).toEqual([3]);
});
