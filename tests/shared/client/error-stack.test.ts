import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { stackOf } from '#shared/client/error-stack.ts';
import { failureOf } from '#shared/client/handler-errors.ts';
import { stackLengthMax } from '#shared/protocol/limits.ts';

const told = (error: Error): string => stackOf(error) ?? '';
/** What the lines say that begin an error. */
const heads = (error: Error): string[] =>
  [...told(error).matchAll(/^Caused by: (.*)$/gm)].map(([, head]) => head ?? '');

test('below the stack of an error stand those of its causes, down to the first one', () => {
  const refused = new Error('connect ECONNREFUSED 127.0.0.1:5432');
  const error = new Error('the order was not saved', {
    cause: new TypeError('fetch failed', { cause: refused }),
  });
  expect(told(error).startsWith(error.stack ?? '?')).toBe(true);
  expect(heads(error)).toEqual(['TypeError: fetch failed', 'Error: connect ECONNREFUSED 127.0.0.1:5432']);
  expect(told(error)).toContain(refused.stack ?? '?');
  expect(failureOf(error)).toEqual({ message: 'the order was not saved', type: 'Error', stack: told(error) });
});

test('the errors of an aggregate are its causes', () => {
  const error = new AggregateError([new Error('no ::1'), new Error('no 127.0.0.1')], 'nobody listens');
  expect(heads(error)).toEqual(['Error: no ::1', 'Error: no 127.0.0.1']);
});

test('an error without causes is told by its stack alone, and one without a message by its type', () => {
  const error = new RangeError('far');
  expect(stackOf(error)).toBe(error.stack);
  expect(failureOf(new AggregateError([])).message).toBe('AggregateError');
});

test('causes in a circle end, anything may be a cause, and all of it has a limit', () => {
  const error = new Error('first');
  error.cause = new Error('second', { cause: error });
  expect(heads(error)).toEqual(['Error: second']);
  expect(heads(new Error('x', { cause: 'plain text' }))).toEqual(['plain text']);
  const mute = {
    get message(): string {
      throw new Error('not to be read');
    },
  };
  expect(heads(new Error('x', { cause: mute }))).toEqual(['a value that has no text']);
  let long = new Error('y'.repeat(2 * stackLengthMax));
  for (let depth = 0; depth < 50; depth += 1) long = new Error('z'.repeat(stackLengthMax), { cause: long });
  expect(told(long).length).toBeLessThanOrEqual(stackLengthMax);
  expect(heads(long).length).toBeGreaterThan(3);
});

test('what is thrown and is no error says what it has to say', () => {
  expect(failureOf({ status: 429, body: { retry: 'later' } }).message).toBe(
    "{ status: 429, body: { retry: 'later' } }",
  );
  expect(failureOf({ code: 'E', message: 'the card was declined' })).toEqual({
    message: 'the card was declined',
  });
  expect(failureOf(undefined)).toEqual({ message: 'undefined' });
  expect(heads(new Error('x', { cause: { errno: -111 } }))).toEqual(['{ errno: -111 }']);
});

test('an error of another realm, as some test runners make them, is one', () => {
  expect(failureOf(runInNewContext(`new RangeError('far', { cause: new Error('away') })`))).toMatchObject({
    message: 'far',
    type: 'RangeError',
    stack: expect.stringContaining('Caused by: Error: away') as string,
  });
});
