import { expect, test } from 'vitest';
import { LiveEvents } from '#services/gateway/live-events.ts';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import type { Msg, Nats } from '#shared/runtime/nats.ts';

// The window of events, across the time when nobody listens.

function world() {
  const clock = new ManualClock(1_000_000);
  let take: ((error: null, message: Msg) => void) | undefined;
  const nats = {
    connection: {
      subscribe: (_subject: string, options: { callback: typeof take }) => {
        take = options.callback;
        return { unsubscribe: () => void (take = undefined) };
      },
    },
  } as unknown as Nats;
  const events = new LiveEvents({ nats, subjects: subjectsFor('trivet'), clock });
  const happen = () =>
    take?.(null, { subject: 'trivet.events.queue.q.done', data: Buffer.from('[]') } as unknown as Msg);
  return { clock, events, happen };
}

test('who comes back after the gateway stopped to listen is told of a gap, however much came since', async () => {
  const { clock, events, happen } = world();
  const ids: string[] = [];
  const leave = events.listen(({ id }) => ids.push(id));
  happen();
  happen();
  leave();
  await clock.advance(60_001, () => Promise.resolve());
  // Nobody hears of this one.
  happen();
  await clock.advance(1_000, () => Promise.resolve());
  const other = events.listen(() => undefined);
  for (let n = 0; n < 4; n += 1) happen();
  const missed = events.missedSince(ids[1] ?? '');
  expect(missed?.gap).toBe(true);
  expect(missed?.events).toHaveLength(4);
  other();
});
