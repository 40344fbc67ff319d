import type { Redis } from '#shared/runtime/redis.ts';
import type { BackendPage, PageQuery } from './backend.ts';
import { redisParts, rowsPattern } from './redis-cache-scripts.ts';

export interface RedisRows {
  readonly redis: Redis;
  readonly prefix: string;
  readonly namespace: string;
  /** Rows of this part with a stamp up to it are void. */
  readonly floorOf: (part: number) => number;
}

export interface FoundRow {
  /** Its name in Redis. */
  readonly name: string;
  readonly key: string;
  readonly part: number;
  readonly stamp: number;
}

/** Keys that one SCAN looks at, about. */
const scanCount = 1_000;
/** Steps of SCAN that one page may take: the rows of a namespace may be few among those of others. */
const stepsMax = 20;

const cursorExpression = /^([0-9]{1,2}):([0-9]{1,20})(?::([A-Za-z0-9_-]+))?$/;

interface Position {
  /** One pass finds all rows; in a Redis Cluster there is one for each part, at the node that has it. */
  readonly pass: number;
  readonly cursor: string;
  /** Of what the cursor finds, what stands behind this key in alphabetical order is still to come. */
  readonly after: string | undefined;
}

/**
 * The keys of a namespace in Redis. SCAN finds each key that stays at least once; one may come twice while Redis
 * resizes its table. A step finds about as many as one asks for, and not exactly: where it finds more than the page may
 * hold, the page ends within the step.
 */
export class RedisPages {
  readonly #rows: RedisRows;

  constructor(rows: RedisRows) {
    this.#rows = rows;
  }

  async page(query: PageQuery): Promise<BackendPage | undefined> {
    let position: Position | undefined =
      query.cursor === undefined ? firstPosition : readPosition(query.cursor, this.#passes());
    if (position === undefined) return undefined;
    const keys: string[] = [];
    let bytes = 0;
    for (let step = 0; step < stepsMax && position !== undefined; step += 1) {
      const found = await this.step(position, query.prefix);
      const live = found.rows.filter((row) => row.stamp > this.#rows.floorOf(row.part)).map((row) => row.key);
      const { after } = position;
      for (const key of live.sort()) {
        if (after !== undefined && key <= after) continue;
        bytes += Buffer.byteLength(key);
        if (keys.length === query.keysMax || (keys.length > 0 && bytes > query.keyBytesMax))
          return { keys, cursor: shownPosition({ ...position, after: lastOf(keys, after) }) };
        keys.push(key);
      }
      position = found.next;
      // A step more might be cut, and then be done twice.
      if (keys.length > query.keysMax / 2) break;
    }
    return position === undefined ? { keys } : { keys, cursor: shownPosition(position) };
  }

  /** One step of SCAN, with the stamps of what it found. */
  async step(
    { pass, cursor }: Position,
    keyPrefix: string,
  ): Promise<{ readonly rows: readonly FoundRow[]; readonly next: Position | undefined }> {
    const { redis, prefix, namespace } = this.#rows;
    const part = redis.isCluster ? pass : '*';
    const pattern = rowsPattern(prefix, namespace, part, keyPrefix);
    const routedBy = redis.isCluster ? `{${prefix}:cache:${pass}}` : undefined;
    const args = ['SCAN', cursor, 'MATCH', pattern, 'COUNT', String(scanCount)];
    const [next, names] = (await redis.command(routedBy, args)) as [Buffer, Buffer[]];
    const rows = await Promise.all(names.map((name) => this.#found(name)));
    return {
      rows: rows.filter((row) => row !== undefined),
      next: this.#after(pass, next.toString()),
    };
  }

  async #found(bytes: Buffer): Promise<FoundRow | undefined> {
    const name = bytes.toString();
    const { prefix, namespace, redis } = this.#rows;
    const end = name.indexOf('}');
    const part = Number(name.slice(`{${prefix}:cache:`.length, end));
    const head = (await redis.command(name, ['GETRANGE', name, '0', '7'])) as Buffer;
    if (head.byteLength < 8) return undefined;
    return { name, key: name.slice(end + `}:e:${namespace}:`.length), part, stamp: head.readDoubleBE(0) };
  }

  #passes(): number {
    return this.#rows.redis.isCluster ? redisParts : 1;
  }

  #after(pass: number, cursor: string): Position | undefined {
    if (cursor !== '0') return { pass, cursor, after: undefined };
    return pass + 1 < this.#passes() ? { pass: pass + 1, cursor: '0', after: undefined } : undefined;
  }
}

export const firstPosition: Position = { pass: 0, cursor: '0', after: undefined };

const lastOf = (keys: readonly string[], after: string | undefined): string | undefined =>
  keys.at(-1) ?? after;

const shownPosition = ({ pass, cursor, after }: Position): string =>
  `${pass}:${cursor}${after === undefined ? '' : `:${Buffer.from(after).toString('base64url')}`}`;

function readPosition(text: string, passes: number): Position | undefined {
  const parts = cursorExpression.exec(text);
  if (parts === null) return undefined;
  const [, pass, cursor = '0', after] = parts;
  if (Number(pass) >= passes) return undefined;
  return {
    pass: Number(pass),
    cursor,
    after: after === undefined ? undefined : Buffer.from(after, 'base64url').toString(),
  };
}
