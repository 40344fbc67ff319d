import { json, msgpack } from '#shared/protocol/encoding.ts';
import type { Burial } from './collector-service.ts';
import type { DeadLetter } from './core/reading.ts';

/** A dead letter, and how many records are in it. */
export interface GatheredBurial extends Burial {
  readonly records: number;
}

/** Bad records of one message that have letters of their own; those behind them share one. */
export const lettersOfTheirOwnMax = 100;

/**
 * Puts bad records of one message and one reason together where they are many: a request of a few kilobytes unfolds
 * into a hundred thousand of them, and storing each alone would hold up every other message for minutes. No byte and no
 * record is left out. O(letters)
 */
export function gathered(burials: readonly Burial[]): readonly GatheredBurial[] {
  if (burials.length <= lettersOfTheirOwnMax) return burials.map((one) => ({ ...one, records: 1 }));
  const ofTheirOwn: GatheredBurial[] = [];
  const groups = new Map<string, Burial[]>();
  for (const one of burials) {
    const key = keyOf(one);
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    // A message as a whole is one letter as it is.
    if (one.letter.index === undefined || group.length < lettersOfTheirOwnMax)
      ofTheirOwn.push({ ...one, records: 1 });
    group.push(one);
  }
  const shared = [...groups.values()].flatMap((group) => {
    const rest = group.slice(lettersOfTheirOwnMax).filter(({ letter }) => letter.index !== undefined);
    const [first] = rest;
    return first === undefined ? [] : [together(first, rest)];
  });
  return [...ofTheirOwn, ...shared];
}

/** What records must have in common to share a letter: all that is said of it but their own problems. */
const keyOf = ({ letter, sequence, subject, receivedMs, destination }: Burial): string =>
  JSON.stringify([sequence, subject, receivedMs, destination, letter.reason, letter.contentType]);

function together(first: Burial, rest: readonly Burial[]): GatheredBurial {
  const { letter } = first;
  const bodies = rest.map((one) => one.letter.body);
  const message = `${rest.length} records; of the first: ${letter.message}`;
  return {
    ...first,
    letter: { ...letter, message, body: joined(letter.contentType, bodies) },
    records: rest.length,
  };
}

/** A list of them; in protobuf messages one behind the other are one with the fields of all. */
function joined(contentType: DeadLetter['contentType'], bodies: readonly Uint8Array[]): Uint8Array {
  if (contentType === json) {
    const parts = bodies.flatMap((one, index) => (index === 0 ? [one] : [comma, one]));
    return Buffer.concat([Buffer.from('['), ...parts, Buffer.from(']')]);
  }
  if (contentType !== msgpack) return Buffer.concat(bodies);
  // MessagePack's array 32.
  const head = Buffer.alloc(5);
  head[0] = 0xdd;
  head.writeUInt32BE(bodies.length, 1);
  return Buffer.concat([head, ...bodies]);
}

const comma = Buffer.from(',');
