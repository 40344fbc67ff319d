import { randomUUID } from 'node:crypto';
import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Redis } from '#shared/runtime/redis.ts';
import type { StoredPosition } from './item-store.ts';
import { FencedError } from './partition-log.ts';
import { type PartitionKeys, type RowTable, stepScript, takeScript } from './redis-scripts.ts';

// How a commit of any size stays atomic, and why no former owner writes over a newer one:
//
// Whoever opens the table writes a name of its own into the state, once, atomically: from then on the scripts refuse
// everybody else, whatever they had on its way or wake up with. What is read afterwards no longer changes under the
// reader. Should the one who took it not become the owner of the log (somebody raised the fence first), the owner is
// refused at its next commit, takes the table again, and replays; nothing was written meanwhile.
//
// Each script that writes has a number, one more than the one before it. Redis carries out the next number alone, so
// a script that is sent again because its answer was lost does nothing, and one that lay in a dead connection's buffer
// and arrives late does nothing. On top of it a commit is refused when a newer epoch is stored, or another log, or
// another sequence than this writer knows.
//
// A small commit is one script: rows and position. Rows of a newer sequence under an old position would not do for a
// larger one, since replaying a fact on an item that has gone on already fails. So its parts are first staged in a
// list, which nobody reads: until then the old table stands. One script then writes the new position with the mark
// `unapplied`: from here on the new table stands, as the rows with the staged parts over them. Then each part is taken
// from the list and applied, by one script; whoever finds the mark does that before it reads. Rows are whole values,
// and no row is in two parts, so their order does not matter.

/** Redis has forgotten what was written there: it was emptied, restarted from an older copy, or has evicted rows. */
export class TableForgottenError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = 'TableForgottenError';
  }
}

export interface RedisTableOptions {
  readonly redis: Redis;
  readonly keys: PartitionKeys;
  readonly clock: Clock;
  readonly log: Log;
  /** How long something is tried while Redis does not answer, or cannot do it. */
  readonly retryMsMax: number;
  /** Aborts when there is no use in waiting any longer. */
  readonly hurry: AbortSignal;
}

export interface TakenTable {
  /** Undefined when there is no table, or not all of it. */
  readonly position: StoredPosition | undefined;
}

type Action = 'write' | 'begin' | 'stage' | 'decide' | 'apply' | 'clear';

const refusals = new Map([
  ['taken', 'another broker has taken the rows in Redis'],
  ['epoch', 'the rows in Redis are of a newer epoch'],
  ['sequence', 'the rows in Redis are at another record than this broker left them'],
  ['log', 'the rows in Redis belong to another log'],
]);

/** Milliseconds before something is tried again: the first time, and at most. */
const retryMsFirst = 50;
const retryMsLast = 1_000;

const scanRows = { items: 1_000, payloads: 64, keys: 1_000, records: 200 } as const;

/** The rows of one partition in Redis, as their only writer sees them. One verb at a time. */
export class RedisTable {
  readonly #options: RedisTableOptions;
  #writer = randomUUID();
  #step = 0;
  /** The sequence that is stored, as the scripts compare it. */
  #known = '';

  constructor(options: RedisTableOptions) {
    this.#options = options;
  }

  /** The position that is stored, whoever writes it. */
  async stored(): Promise<StoredPosition | undefined> {
    const { redis, keys } = this.#options;
    const bytes = await this.#insist(() => redis.command(keys.state, ['HGET', keys.state, 'position']));
    return readPosition(bytes);
  }

  /** Becomes the writer, and makes the rows whole where a commit was interrupted. */
  async take(): Promise<TakenTable> {
    const { position, unapplied } = await this.#take();
    if (position !== undefined && unapplied) await this.#applyStaged(position);
    return { position };
  }

  /** Becomes the writer of a table that Redis has forgotten, unless another one is there already. */
  async takeAgain(): Promise<void> {
    await this.#take(this.#writer);
  }

  /** Writes rows and position, all or nothing. `parts` are at least one. */
  async write(parts: readonly Buffer[], position: StoredPosition): Promise<void> {
    const [first] = parts;
    if (parts.length === 1 && first !== undefined) {
      await this.#do('write', position, first);
      return;
    }
    await this.stage(parts, position);
    await this.decide(position);
  }

  /** Writes a whole table where there is none. */
  async writeAll(parts: AsyncIterable<Buffer>, position: StoredPosition): Promise<void> {
    await this.clear(undefined);
    await this.stage(parts, position);
    await this.decide(position);
  }

  /** Brings the parts of a commit to Redis. Nothing is changed by it. */
  async stage(parts: Iterable<Buffer> | AsyncIterable<Buffer>, position: StoredPosition): Promise<void> {
    await this.check(position);
    for await (const part of parts) await this.#do('stage', position, part);
  }

  /** Makes what was staged count. */
  async decide(position: StoredPosition): Promise<void> {
    await this.#do('decide', position);
    await this.#applyStaged(position);
  }

  /** Removes every row; without a position, it is as if there never were any. */
  async clear(position: StoredPosition | undefined): Promise<void> {
    await this.#do('clear', position);
  }

  /** Makes sure that nobody else has taken the table and that every row is there; removes what was only staged. */
  async check(position: StoredPosition): Promise<void> {
    await this.#do('begin', position);
  }

  /** All rows of one table, some at a time; one may come twice. */
  async *scan(table: RowTable): AsyncIterable<readonly (readonly [Buffer, Buffer])[]> {
    const { redis, keys } = this.#options;
    const key = keys.tables[table];
    let cursor = '0';
    do {
      const args = ['HSCAN', key, cursor, 'COUNT', String(scanRows[table])];
      const reply = (await this.#insist(() => redis.command(key, args))) as [Buffer, Buffer[]];
      cursor = reply[0].toString();
      yield pairs(reply[1]);
    } while (cursor !== '0');
  }

  async #take(former?: string): Promise<{ position: StoredPosition | undefined; unapplied: boolean }> {
    const { redis, keys } = this.#options;
    const writer = randomUUID();
    const args = former === undefined ? [writer] : [writer, former];
    const reply = await this.#insist(() => takeScript.run(redis, keys.all, args));
    const [verdict, position, unapplied] = reply as [Buffer, Buffer | null, Buffer | null];
    if (verdict.toString() === 'refused') throw new FencedError('another broker has taken the rows in Redis');
    this.#writer = writer;
    this.#step = 0;
    const stored = readPosition(position);
    this.#known = stored === undefined ? '' : String(stored.applied.sequence);
    return {
      position: verdict.toString() === 'taken' ? stored : undefined,
      unapplied: unapplied !== null,
    };
  }

  async #applyStaged(position: StoredPosition): Promise<void> {
    while ((await this.#do('apply', position)) !== 'done');
  }

  async #do(action: Action, position: StoredPosition | undefined, rows?: Buffer): Promise<string> {
    const { redis, keys } = this.#options;
    const { sequence, epoch } = position?.applied ?? { sequence: 0, epoch: 0 };
    const step = this.#step + 1;
    const args = [
      action,
      this.#writer,
      String(step),
      position?.logIdentity ?? '',
      this.#known,
      String(epoch),
      String(sequence),
      position === undefined ? '' : asBuffer(packRecord(position)),
      rows ?? '',
    ];
    const answer = String(await this.#insist(() => stepScript.run(redis, keys.all, args)));
    const refusal = refusals.get(answer);
    if (refusal !== undefined) throw new FencedError(refusal);
    if (answer === 'lost') throw new TableForgottenError('rows or position are gone from Redis');
    this.#step = step;
    if (action === 'write' || action === 'decide') this.#known = String(sequence);
    if (action === 'clear') this.#known = position === undefined ? '' : String(sequence);
    return answer;
  }

  /** Asks until there is an answer: what is asked may be asked twice. */
  async #insist<T>(ask: () => Promise<T>): Promise<T> {
    const { clock, log, retryMsMax, hurry, keys } = this.#options;
    const untilMs = clock.monotonicMs() + retryMsMax;
    for (let delayMs = retryMsFirst; ; delayMs = Math.min(delayMs * 2, retryMsLast)) {
      try {
        return await unlessAborted(ask(), hurry);
      } catch (error) {
        if (hurry.aborted || clock.monotonicMs() >= untilMs)
          throw new Error(`Redis does not do what the rows of ${keys.state} need`, { cause: error });
        // Once: whether there is a connection is told elsewhere.
        if (delayMs === retryMsFirst)
          log.warn({ err: error, key: keys.state }, 'Redis does not do what was asked, trying again');
      }
      await unlessAborted(sleep(clock, delayMs), hurry).catch(() => undefined);
    }
  }
}

const readPosition = (bytes: unknown): StoredPosition | undefined =>
  Buffer.isBuffer(bytes) ? (unpackRecord(bytes) as StoredPosition) : undefined;

function* inPairs(list: readonly Buffer[]): Iterable<readonly [Buffer, Buffer]> {
  for (let at = 0; at + 1 < list.length; at += 2) {
    const [field, value] = list.slice(at, at + 2);
    if (field !== undefined && value !== undefined) yield [field, value];
  }
}

const pairs = (list: readonly Buffer[]): readonly (readonly [Buffer, Buffer])[] => [...inPairs(list)];

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
