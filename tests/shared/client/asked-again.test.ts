import { expect, test } from 'vitest';
import { askedAgain } from '#shared/client/asked-again.ts';
import type { BrokerWatch, Renewal } from '#shared/client/broker-watch.ts';
import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';

const timeoutMs = 30_000;

interface Gap {
  readonly wasHeard?: boolean;
  readonly gapMsMax?: number;
  readonly replies?: readonly Result<string>[];
}

const nobody: Result<string> = refuse('unavailable', 'nobody');

/** Asks a broker that never answers, until `replies` has something for it. */
function asking(isRepeatable: boolean, gap: Gap = {}) {
  const clock = new VirtualClock();
  const actions = new Set<(why: Renewal) => void>();
  const brokers = {
    wasHeard: gap.wasHeard ?? false,
    hear: () => undefined,
    onNew: (action: (why: Renewal) => void) => {
      actions.add(action);
      return () => actions.delete(action);
    },
  } as unknown as BrokerWatch;
  const connection = { isClosed: () => false };
  const replies = [...(gap.replies ?? [])];
  const counts = { asked: 0 };
  let answer: Result<string> | undefined;
  void askedAgain<string>(
    {
      nats: { connection } as unknown as Nats,
      clock,
      brokers,
      timeoutMs,
      isRepeatable,
      gapMsMax: gap.gapMsMax ?? 0,
    },
    (msMax) => {
      counts.asked += 1;
      const reply = replies.shift();
      if (reply !== undefined) return Promise.resolve(reply);
      return new Promise((resolve) => {
        clock.after(msMax, () => resolve(refuse('timeout', 'no reply')));
      });
    },
  ).then((reply) => (answer = reply));
  const renewed = (why: Renewal) => {
    for (const action of actions) action(why);
  };
  return { clock, actions, replies, counts, renewed, answer: () => answer };
}

test('what may be asked twice is asked again when the connection is back, until somebody answers', async () => {
  const made = asking(true);
  await made.clock.advance(1_000);
  made.replies.push(refuse('unavailable', 'nobody yet'), accept('added'));
  made.renewed('connection');
  await made.clock.advance(1_000);
  expect(made.answer()).toEqual(accept('added'));
  expect(made.counts.asked).toBe(3);
  expect(made.actions.size).toBe(0);
});

test('who asks again waits no longer than it would have', async () => {
  const made = asking(true);
  await made.clock.advance(20_000);
  made.renewed('broker');
  await made.clock.advance(9_000);
  expect(made.answer()).toBeUndefined();
  await made.clock.advance(2_000);
  expect(made.answer()).toMatchObject({ ok: false, error: { code: 'timeout' } });
});

test('what may be asked only once is given up soon after the connection is back, and not for another broker', async () => {
  const made = asking(false);
  made.renewed('broker');
  await made.clock.advance(15_000);
  expect(made.answer()).toBeUndefined();
  made.renewed('connection');
  await made.clock.advance(11_000);
  expect(made.answer()).toMatchObject({ ok: false, error: { code: 'timeout' } });
  expect(made.counts.asked).toBe(1);
});

test('a refusal is an answer, also to the first of two questions', async () => {
  const made = asking(true);
  made.replies.push(refuse('queue_full', 'full'));
  made.renewed('connection');
  await made.clock.advance(1);
  expect(made.answer()).toMatchObject({ ok: false, error: { code: 'queue_full' } });
});

test('while no broker is there it is asked on, for as long as the gap may last', async () => {
  const short = asking(false, {
    wasHeard: true,
    gapMsMax: 6_000,
    replies: [nobody, nobody, accept('added')],
  });
  await short.clock.advance(2_000);
  expect(short.answer()).toEqual(accept('added'));
  const long = asking(false, { wasHeard: true, gapMsMax: 6_000, replies: Array(100).fill(nobody) });
  await long.clock.advance(5_000);
  expect(long.answer()).toBeUndefined();
  await long.clock.advance(2_000);
  expect(long.answer()).toMatchObject({ ok: false, error: { code: 'unavailable' } });
});

test('who never heard of a broker hears at once that there is none', async () => {
  const made = asking(true, { gapMsMax: 6_000, replies: [nobody] });
  await made.clock.advance(1);
  expect(made.answer()).toMatchObject({ ok: false, error: { code: 'unavailable' } });
});

test('what came to no answer behind a gap may have been done, and is not asked again', async () => {
  const made = asking(false, { wasHeard: true, gapMsMax: 60_000, replies: [nobody] });
  await made.clock.advance(29_500);
  expect(made.counts.asked).toBe(2);
  await made.clock.advance(1_000);
  expect(made.answer()).toMatchObject({ ok: false, error: { code: 'timeout' } });
  expect(made.counts.asked).toBe(2);
});
