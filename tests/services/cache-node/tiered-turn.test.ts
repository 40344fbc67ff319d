import { expect, test } from 'vitest';
import type { Outcome } from '#services/cache-node/tier-outcome.ts';
import type { Tier } from '#services/cache-node/tier.ts';
import { decideTiered, notOwner } from '#services/cache-node/tiered-turn.ts';

const reply = new Uint8Array([1]);

/** The answer to a change with this outcome, while this node may have lost its keys in between. */
const answer = (outcome: Outcome | undefined, isOwner: boolean) =>
  decideTiered({
    tier: {
      untilMs: () => 0,
      prepare: () => undefined,
      deciding: () => undefined,
      decided: () => outcome && Promise.resolve(outcome),
    } as unknown as Tier,
    reads: [],
    startedMs: 0,
    owns: () => true,
    isOwner: () => isOwner,
    decide: () => reply,
  });

const fine = { refusal: undefined };

test('a change that the backend has is answered, whoever owns the keys by then', async () => {
  expect(await answer({ ...fine, isWritten: true }, true)).toBe(reply);
  expect(await answer({ ...fine, isWritten: true }, false)).toBe(reply);
});

test('a change that only memory has is answered by the owner alone: a successor does not know it', async () => {
  expect(await answer({ ...fine, isWritten: false }, true)).toBe(reply);
  expect(await answer({ ...fine, isWritten: false }, false)).toMatchObject({ code: 'unavailable' });
});

test('what nobody has to wait for is answered at once', async () => {
  expect(await answer(undefined, false)).toBe(reply);
});

test('a refusal stays one', async () => {
  const refusal = { code: 'unavailable', message: 'the backend is down' } as const;
  expect(await answer({ refusal, isWritten: false }, true)).toBe(refusal);
});

test('what was fetched for keys that have gone meanwhile is not taken in', async () => {
  let isHere = true;
  let prepared = 0;
  const prepare = async () => {
    prepared += 1;
    await Promise.resolve();
    isHere = false;
  };
  const tier = { untilMs: () => 0, prepare } as unknown as Tier;
  const turn = { tier, reads: ['k'], startedMs: 0, isOwner: () => true, decide: () => reply };
  expect(await decideTiered({ ...turn, owns: () => isHere })).toBe(notOwner);
  expect(prepared).toBe(1);
});
