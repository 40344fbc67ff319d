import { type Result, accept, refuseField } from './errors.ts';
import { optionHeaders } from './queue-words.ts';

// Names of headers are compared without regard to case in HTTP; NATS compares them byte by byte, and each client library
// writes them in a way of its own. Those that say something to us are read in any case.

const known: readonly string[] = [
  ...Object.values(optionHeaders),
  'Content-Type',
  'Accept',
  'traceparent',
  'tracestate',
  'Nats-Service-Error',
  'Nats-Service-Error-Code',
  'Trivet-Degraded',
];
const spelled = new Set(known);
const byLowerCase = new Map(known.map((name) => [name.toLowerCase(), name]));

/** A header's name as we spell it: the same for all that are none of ours. */
export const headerName = (name: string): string =>
  spelled.has(name) ? name : (byLowerCase.get(name.toLowerCase()) ?? name);

/** Headers of a message, as far as they are read here. */
interface Headers {
  values(name: string): readonly string[];
}

/** The value of a header, '' when there is none. One that says two things is refused: nobody knows which is meant. */
export function singleHeader(headers: Headers | undefined, name: string): Result<string> {
  const values = headers?.values(name) ?? [];
  return saysOneThing(values) ? accept(values[0] ?? '') : twofold(name);
}

export const saysOneThing = (values: readonly string[]): boolean =>
  values.length < 2 || values.every((value) => value === values[0]);

export const twofold = (name: string): Result<never> =>
  refuseField(name, 'stands there more than once, with different values');
