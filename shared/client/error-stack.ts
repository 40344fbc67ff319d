import { inspect, types } from 'node:util';
import { stackLengthMax } from '#shared/protocol/limits.ts';

// What led to an error often says more than the error: `fetch failed` has its reason in `cause` alone.

/** Errors that are told below the one that was thrown. */
const causesMax = 10;
/** What one of them may take of the room, so that a long one does not push out those below it. */
const causeLengthMax = stackLengthMax / 8;

/**
 * The stack of an error and, below it, of what caused it: its `cause`, that one's, and so on, and the `errors` of an
 * `AggregateError`, each after a line's `Caused by: `.
 * @returns at most 32,768 characters; undefined where there is no stack. Never throws
 */
export function stackOf(error: Error): string | undefined {
  const stack = ownStack(error);
  if (stack === undefined) return undefined;
  const causes = causesOf(error).map((cause) => `\nCaused by: ${textOf(cause).slice(0, causeLengthMax)}`);
  const own = causes.length === 0 ? stack : stack.slice(0, stackLengthMax / 2);
  return (own + causes.join('')).slice(0, stackLengthMax);
}

/** Also one of another realm, such as a test runner's, which is no `instanceof Error` here. */
export const isError = (thrown: unknown): thrown is Error =>
  thrown instanceof Error || types.isNativeError(thrown);

/** What was thrown and is no error, as a text: anything may be, and none of it may throw again where it is told. */
export function thrownText(thrown: unknown): string {
  try {
    if (typeof thrown !== 'object' || thrown === null) return String(thrown);
    const { message } = thrown as { readonly message?: unknown };
    return typeof message === 'string' && message !== '' ? message : inspect(thrown, { depth: 1 });
  } catch {
    return 'a value that has no text';
  }
}

/** Each once, those of one error before those of the next: causes may run in a circle. */
function causesOf(error: Error): readonly unknown[] {
  const known = new Set<unknown>([error]);
  for (const one of known) {
    if (!isError(one)) continue;
    for (const cause of directCauses(one)) if (known.size <= causesMax) known.add(cause);
  }
  return [...known].slice(1);
}

function directCauses(error: Error): readonly unknown[] {
  const causes: unknown[] = [];
  try {
    if (error.cause !== undefined && error.cause !== null) causes.push(error.cause);
    if (error instanceof AggregateError) causes.push(...error.errors.slice(0, causesMax));
  } catch {
    // A member that throws where it is read has nothing to say.
  }
  return causes;
}

const textOf = (cause: unknown): string =>
  (isError(cause) ? ownStack(cause) : undefined) ?? thrownText(cause);

/** The stack where it is a text: `Error.prepareStackTrace` can make something else of it. */
function ownStack(error: Error): string | undefined {
  try {
    const stack: unknown = error.stack;
    return typeof stack === 'string' ? stack : undefined;
  } catch {
    return undefined;
  }
}
