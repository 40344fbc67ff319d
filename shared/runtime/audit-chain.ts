import { createHash } from 'node:crypto';
import type { AuditEntry, AuditHead } from '#shared/protocol/audit-schemas.ts';
import { type SigningKey, isSignedBy } from './signing-key.ts';

/**
 * The chain of the audit: each line is the SHA-256 of the line before it and of its own text, a blank, and the text
 * itself. Text and not values are hashed, so that nothing depends on how JSON is written.
 */

/** Where a chain stands: the number and the hash of its last entry. */
export interface ChainEnd {
  readonly n: number;
  readonly hash: string;
}

export const chainStart: ChainEnd = { n: 0, hash: '0'.repeat(64) };

const hashOf = (before: string, text: string): string =>
  createHash('sha256').update(`${before}\n${text}`).digest('hex');

/** The next line after `end`, and where the chain stands then. */
export function nextLine(
  end: ChainEnd,
  entry: Omit<AuditEntry, 'n'>,
): { readonly line: string; readonly end: ChainEnd } {
  const n = end.n + 1;
  const text = JSON.stringify({ n, ...entry });
  const hash = hashOf(end.hash, text);
  return { line: `${hash} ${text}`, end: { n, hash } };
}

/** The entry of a line that is known to be good. */
export const entryOf = (line: string): AuditEntry => JSON.parse(line.slice(65)) as AuditEntry;

/** Where the chain stands after a line that is known to be good. */
export const endOf = (line: string): ChainEnd => ({ n: entryOf(line).n, hash: line.slice(0, 64) });

/** Follows a chain line by line and compares it with heads that were signed on the way. */
export class ChainCheck {
  #end: ChainEnd = chainStart;
  readonly #faults: string[] = [];
  readonly #heads: AuditHead[];
  readonly #trusted: readonly string[];

  /**
   * @param heads   from wherever they were kept
   * @param trusted public keys whose signatures count; heads of others are reported
   */
  constructor(heads: readonly AuditHead[], trusted: readonly string[]) {
    this.#heads = [...heads].sort((one, other) => one.n - other.n);
    this.#trusted = trusted;
    for (const head of this.#heads) {
      if (!trusted.includes(head.key))
        this.#fault(`a head at ${head.n} is signed with a key that is not trusted: ${head.key}`);
      else if (!isSignedBy(head.key, headText(head), head.signature))
        this.#fault(`the signature of the head at ${head.n} is wrong`);
    }
  }

  /** The next line, in the order of the stream. */
  read(line: string): void {
    const text = line.slice(65);
    const n = numberOf(text);
    const expected = this.#end.n + 1;
    if (n === undefined) this.#fault(`what follows entry ${this.#end.n} cannot be read`);
    else if (n !== expected)
      this.#fault(
        n > expected
          ? `entries ${expected} to ${n - 1} are missing`
          : `entry ${n} stands after entry ${this.#end.n}`,
      );
    // The hash and the blank behind it: they stand in no hash of their own.
    else if (line.slice(0, 65) !== `${hashOf(this.#end.hash, text)} `)
      this.#fault(`entry ${n} was changed, or the one before it`);
    // On from what stands there: one fault is not to hide the next.
    this.#end = { n: n ?? expected, hash: line.slice(0, 64) };
    for (const head of this.#heads.filter((one) => one.n === this.#end.n)) {
      if (head.hash !== this.#end.hash && this.#trusted.includes(head.key))
        this.#fault(`entry ${head.n} is not the one that was signed at ${head.at}`);
    }
  }

  /** Every fault that was found; none for a chain that is whole. Call it after the last line. */
  finish(): { readonly end: ChainEnd; readonly faults: readonly string[] } {
    const last = this.#heads.filter(({ key }) => this.#trusted.includes(key)).at(-1);
    if (last !== undefined && last.n > this.#end.n)
      this.#fault(
        `the end is cut off: entry ${last.n} was signed at ${last.at}, the last one here is ${this.#end.n}`,
      );
    return { end: this.#end, faults: this.#faults };
  }

  #fault(text: string): void {
    if (this.#faults.length < faultsMax) this.#faults.push(text);
  }
}

/** Whoever has a hundred faults does not need the others. */
const faultsMax = 100;

function numberOf(text: string): number | undefined {
  try {
    const { n } = JSON.parse(text) as { n?: unknown };
    return typeof n === 'number' ? n : undefined;
  } catch {
    return undefined;
  }
}

const headText = ({ n, hash, at }: Pick<AuditHead, 'n' | 'hash' | 'at'>): string =>
  `trivet audit ${n} ${hash} ${at}`;

/** Signs where the chain stands. */
export function signHead(end: ChainEnd, at: string, key: SigningKey): AuditHead {
  const head = { ...end, at };
  return { ...head, key: key.publicKey, signature: key.sign(headText(head)) };
}
