import { durationMs } from '#shared/protocol/durations.ts';

/** So many requests in any window of this length. */
export interface Rate {
  readonly count: number;
  readonly perMs: number;
}

const rateExpression = /^([0-9]{1,9})\/([0-9]{1,9}(?:ms|s|m|h))$/;

/** Reads `1000/1s`; `none` is no limit. Never throws. */
export function parseRate(
  text: string,
): { readonly value: Rate | undefined } | { readonly expected: string } {
  if (text === 'none') return { value: undefined };
  const [, count, per] = rateExpression.exec(text) ?? [];
  const perMs = durationMs(per ?? '') ?? 0;
  if (Number(count) < 1 || perMs < 1 || perMs > 86_400_000 || count === undefined)
    return { expected: 'a number of requests and a duration up to a day such as 1000/1s, or none' };
  return { value: { count: Number(count), perMs } };
}
