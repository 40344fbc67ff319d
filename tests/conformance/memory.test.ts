import { afterAll, beforeAll, test } from 'vitest';
import { type TestTrivet, testTrivet } from '#services/queue-broker/testing.ts';
import { conformanceCases, runCase } from './conformance-cases.ts';
import { type Target, targetOver } from './target.ts';

// The queue that users test with behaves as the real one: the same cases, and not a millisecond of waiting.

let trivet: TestTrivet;
let target: Target;

beforeAll(async () => {
  trivet = await testTrivet();
  target = targetOver(trivet.nats.connection, {
    prefix: 'trivet',
    pass: (ms) => trivet.clock.advance(ms),
  });
});

afterAll(() => trivet?.close());

test.each(conformanceCases.map((one, number) => ({ one, name: one.name, number })))(
  'in memory: $name',
  ({ one, number }) => runCase(target, one, `case-${number}`),
);
