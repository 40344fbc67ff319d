import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import {
  type AlertState,
  type Reading,
  checkedRules,
  figureOf,
  judge,
} from '#services/telemetry-collector/core/alerts.ts';
import { durationBounds, emptyHistogram, observe } from '#services/telemetry-collector/core/histogram.ts';

const rule = (more: Partial<AlertRule> = {}): AlertRule => ({
  name: 'slow',
  metric: 'depth',
  stat: 'value',
  above: 10,
  ...more,
});
const ok: AlertState = { state: 'ok', sinceMs: 0 };
const allowed = ['https://hooks.example.org'];

test('whatever comes, firing and resolved take turns, and firing is first', () => {
  const figure = fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined });
  fc.assert(
    fc.property(fc.array(figure), fc.constantFrom('0ms', '3s'), (figures, lasting) => {
      let state = ok;
      const notices: string[] = [];
      for (const [second, one] of figures.entries()) {
        const { next, notice } = judge(rule({ for: lasting }), state, one, 1_000 + second * 1_000);
        state = next;
        if (notice !== undefined) notices.push(notice);
      }
      expect(notices).toEqual(notices.map((_, index) => (index % 2 === 0 ? 'firing' : 'resolved')));
      expect(state.state === 'firing').toBe(notices.length % 2 === 1);
    }),
  );
});

test('what does not last long enough does not fire', () => {
  const lasting = rule({ for: '10s' });
  const begun = judge(lasting, ok, 11, 1_000);
  expect(begun).toEqual({ next: { state: 'pending', sinceMs: 1_000 } });
  expect(judge(lasting, begun.next, 11, 10_999).notice).toBeUndefined();
  expect(judge(lasting, begun.next, 11, 11_000).notice).toBe('firing');
  expect(judge(lasting, begun.next, 9, 11_000)).toEqual({ next: { state: 'ok', sinceMs: 11_000 } });
});

test('silence neither fires nor resolves', () => {
  const firing: AlertState = { state: 'firing', sinceMs: 5 };
  expect(judge(rule(), firing, undefined, 9_000)).toEqual({ next: firing });
});

const reading = (atMs: number, total: number, more: Partial<Reading> = {}): Reading => ({
  atMs,
  isThere: true,
  total,
  successes: 0,
  histogram: undefined,
  ...more,
});

test('rates, success rates and percentiles are of the window alone', () => {
  const before = reading(0, 100, { successes: 100 });
  const now = reading(10_000, 150, { successes: 140 });
  expect(figureOf(rule({ stat: 'rate' }), now, before)).toBe(5);
  expect(figureOf(rule({ stat: 'success-rate' }), now, before)).toBe(0.8);
  expect(figureOf(rule({ stat: 'success-rate' }), reading(20_000, 150), now)).toBeUndefined();
  const early = emptyHistogram(durationBounds);
  for (let index = 0; index < 100; index += 1) observe(early, 1);
  const late = { ...early, counts: [...early.counts] };
  for (let index = 0; index < 100; index += 1) observe(late, 900);
  const slow = figureOf(
    rule({ stat: 'p50' }),
    reading(10_000, 0, { histogram: late }),
    reading(0, 0, { histogram: early }),
  );
  expect(slow).toBeGreaterThan(700);
});

test.each([
  [{ errors: true as const }, 'alerts[0].metric or operation or errors must be given, and only one'],
  [{ below: 3 }, 'alerts[0].above or below must be given, and only one'],
  [{ stat: 'success-rate' as const }, 'alerts[0].stat success-rate is known of operations alone'],
  [{ window: '2h' }, 'alerts[0].window must be between a second and an hour'],
  [{ webhook: 'http://169.254.169.254/' }, 'alerts[0].webhook must begin with an origin of'],
  [{ webhook: 'https://hooks.example.org.evil.example/' }, 'alerts[0].webhook must begin with an origin of'],
  [{ webhook: 'https://hooks.example.org@evil.example/' }, 'alerts[0].webhook must begin with an origin of'],
  [{ webhook: 'https://a:b@hooks.example.org/' }, 'alerts[0].webhook must begin with an origin of'],
  [{ webhook: 'https://hooks.example.org:8443/' }, 'alerts[0].webhook must begin with an origin of'],
  [{ webhook: 'file:///etc/passwd' }, 'alerts[0].webhook must begin with an origin of'],
])('a rule with %j is refused', (more, problem) => {
  const checked = checkedRules([rule(more)], allowed);
  expect(checked.ok ? '' : checked.error.message).toContain(problem);
});

test('two alerts of one name are refused, and an allowed webhook is not', () => {
  expect(checkedRules([rule(), rule()], allowed)).toMatchObject({ ok: false });
  expect(checkedRules([rule({ webhook: 'https://hooks.example.org/team/a' })], allowed)).toMatchObject({
    ok: true,
  });
});
