import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HistoryRecorder, numbersPerPoint } from '#services/telemetry-collector/core/history.ts';
import type { Series } from '#services/telemetry-collector/core/series.ts';

const counter = (id: number, total: number): Series => ({
  id,
  source: 's',
  name: `n${id}`,
  unit: '',
  labels: [],
  startMs: 0,
  updatedMs: 0,
  type: 'counter',
  total,
});

/** What each step of each tier has, by series: the last word on it wins. */
function stepsOf(rows: readonly { tier: number; atMs: number; numbers: Float64Array }[]) {
  const steps = new Map<string, number>();
  for (const { tier, atMs, numbers } of rows)
    for (let at = 0; at < numbers.length; at += numbersPerPoint)
      steps.set(`${tier} ${atMs} ${numbers[at]}`, numbers[at + 1] ?? 0);
  return steps;
}

test('every tier has of each of its steps what a series was last in it', () => {
  const tiers = [
    { stepMs: 10, ageMsMax: 1_000 },
    { stepMs: 35, ageMsMax: 1_000 },
    { stepMs: 60, ageMsMax: 1_000 },
  ];
  const change = fc.record({ afterMs: fc.nat(40), id: fc.nat(3), total: fc.nat(), isAsked: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change), (changes) => {
      const recorder = new HistoryRecorder(tiers);
      const expected = new Map<string, number>();
      const rows = [];
      let nowMs = 0;
      for (const { afterMs, id, total, isAsked } of changes) {
        nowMs += afterMs;
        rows.push(...recorder.note([counter(id, total)], nowMs));
        for (const [tier, { stepMs }] of tiers.entries())
          expected.set(`${tier} ${nowMs - (nowMs % stepMs)} ${id}`, total);
        // Whoever asks in between changes nothing.
        if (isAsked) recorder.unfinished();
      }
      rows.push(...recorder.unfinished());
      expect(stepsOf(rows)).toEqual(expected);
      const keys = rows.map(({ tier, atMs }) => `${tier} ${atMs}`);
      expect(new Set(keys).size).toBe(keys.length);
    }),
  );
});
