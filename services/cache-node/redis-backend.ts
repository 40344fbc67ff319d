import { randomUUID } from 'node:crypto';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Redis } from '#shared/runtime/redis.ts';
import {
  type Applied,
  type Backend,
  type BackendPage,
  type Batch,
  type Claim,
  type PageQuery,
  type Row,
  type Taken,
  TakenError,
} from './backend.ts';
import { type PartKeys, applyScript, claimScript, partKeys, redisParts } from './redis-cache-scripts.ts';
import { RedisPages } from './redis-pages.ts';
import { RedisSweep } from './redis-sweep.ts';

export interface RedisBackendOptions {
  readonly redis: Redis;
  readonly clock: Clock;
  /** The cluster's, as on its subjects. */
  readonly prefix: string;
  readonly namespace: string;
  readonly slotOf: (key: string) => number;
  /** When the cluster began, in epoch milliseconds; 0 where that is not known. */
  readonly bornMs: () => number;
  /** The slots that are this process's to write, each with a version from when it began to hold it. */
  readonly slots: () => ReadonlyMap<number, number>;
  /** Draws those versions anew, above this one; false while that cannot be. */
  readonly outdo: (version: number) => boolean;
  /** Whether a slot is among them. */
  readonly holds: (slot: number) => boolean;
  /** Whether it may write at all at this very moment: one that was paused may have been put out meanwhile. */
  readonly mayWrite: () => boolean;
}

/** What this process knows of a part. */
interface Part {
  readonly number: number;
  readonly keys: PartKeys;
  /** Rows with a stamp up to this one are void. */
  floor: number;
  /** The last batch of this process that the part is known to have. */
  confirmed: number;
}

interface PartRows {
  readonly part: Part;
  readonly slots: Set<number>;
  readonly rows: (readonly [string, Row | null])[];
}

const stampBytes = 8;
/** How often one claim is tried with greater versions. */
const claimsMax = 2;

/** Redis has forgotten who writes: it was emptied, or started again from an older copy. */
export class ForgottenError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = 'ForgottenError';
  }
}

/**
 * The entries of one namespace in Redis, each a key of its own that ends there by itself. How a paused former owner and
 * late batches are kept from writing stands in redis-cache-scripts.ts. A batch is atomic in each part and not over the
 * parts: who sends it sends it again, or all that was in it, after a rejection. What Redis holds at most, and what goes
 * for it, is Redis's own setting; a quota means the memory in front alone.
 */
export class RedisBackend implements Backend {
  readonly #options: RedisBackendOptions;
  readonly #parts: readonly Part[];
  readonly #pages: RedisPages;
  readonly #sweep: RedisSweep;
  /** One writer for as long as this lives: what it sent before it failed is told from what it sends now by its number. */
  readonly #token = randomUUID();
  #sequence = 0;
  /** When the cluster began by which all is claimed. */
  #bornMs = 0;
  #isClosed = false;

  constructor(options: RedisBackendOptions) {
    this.#options = options;
    this.#parts = Array.from({ length: redisParts }, (_, number) => ({
      number,
      keys: partKeys(options.prefix, options.namespace, number),
      floor: 0,
      confirmed: 0,
    }));
    const isMine = (key: string) => options.holds(options.slotOf(key));
    const rows = { ...options, isMine, floorOf: (part: number) => this.#parts[part]?.floor ?? 0 };
    this.#pages = new RedisPages(rows);
    this.#sweep = new RedisSweep(rows);
  }

  async take(claim: Claim): Promise<Taken> {
    const claims = await this.#claims(claim);
    const first = this.#parts[0];
    if (first === undefined) throw new Error('there are no parts');
    // A part that was made anew beside others that were there, or one that is behind what this process was told.
    const made = claims.filter((claim) => claim.made).length;
    const isBehind = claims.some((claim, at) => claim.sequence < (this.#parts[at]?.confirmed ?? 0));
    const lost =
      (made > 0 && made < claims.length) ||
      claims.some((claim) => claim.tagsCounted !== claim.tags) ||
      isBehind;
    for (const part of this.#parts) {
      const claimed = claims[part.number];
      part.floor = claimed?.floor ?? 0;
      part.confirmed = claimed?.sequence ?? 0;
    }
    if (claims.some((claim) => claim.voided)) this.#sweep.start();
    const stamp = Math.max(...claims.map((claim) => Math.max(claim.stamp, claim.floor)));
    return { stamp, tags: await this.#tags(first), lost, figures: undefined };
  }

  async fetch(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]> {
    const found = new Map<string, Buffer>();
    const groups = this.#byPart(keys.map((key) => [key, null] as const));
    await Promise.all(
      groups.map(async ({ part, rows }) => {
        const names = rows.map(([key]) => part.keys.rows + key);
        const replies = await this.#options.redis.command(names[0], ['MGET', ...names]);
        for (const [at, reply] of (replies as (Buffer | null)[]).entries()) {
          const key = rows[at]?.[0];
          if (key === undefined || reply === null || reply.byteLength < stampBytes) continue;
          if (reply.readDoubleBE(0) > part.floor) found.set(key, reply.subarray(stampBytes));
        }
      }),
    );
    return keys.map((key) => found.get(key));
  }

  async apply(batch: Batch): Promise<Applied> {
    this.#sequence += 1;
    const sequence = this.#sequence;
    const groups = new Map(this.#byPart(batch.rows).map((group) => [group.part, group]));
    const concerned = this.#parts.filter(
      (part) => groups.has(part) || batch.clears || (part.number === 0 && (batch.tags?.size ?? 0) > 0),
    );
    if (concerned.length > 0) this.#assertMayWrite();
    await Promise.all(
      concerned.map((part) => this.#write({ part, sequence, batch, rows: groups.get(part) })),
    );
    if (batch.clears) {
      for (const part of this.#parts) part.floor = Math.max(part.floor, batch.stamp - 1);
      this.#sweep.start();
    }
    return { evicted: [], figures: undefined };
  }

  page(query: PageQuery): Promise<BackendPage | undefined> {
    return this.#pages.page(query);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#sweep.stop();
    return Promise.resolve();
  }

  #assertMayWrite(): void {
    if (!this.#options.mayWrite()) throw new TakenError('this process may not write just now');
  }

  /** Rejects where this process has to see first what became of its slots. */
  async #claims(claim: Claim) {
    for (let attempt = 1; ; attempt += 1) {
      this.#assertMayWrite();
      // By now the slots may be those of the membership after this one.
      if (this.#isClosed) throw new TakenError('this backend is closed');
      const own = [...this.#options.slots()];
      const bornMs = this.#options.bornMs();
      const claims = await Promise.all(this.#parts.map((part) => this.#claim(part, claim, { own, bornMs })));
      const passed = claims.reduce((sum, one) => sum + one.passed, 0);
      if (passed === 0) {
        this.#bornMs = bornMs;
        return claims;
      }
      // Either they are another's, and no longer among this process's own; or the count of versions went back, with a
      // copy of NATS's data from before.
      const isOutdone = this.#options.outdo(Math.max(...claims.map((one) => one.passedBy)));
      if (!isOutdone || attempt === claimsMax)
        throw new TakenError(`another process has held ${passed} slots since`);
    }
  }

  async #claim(
    part: Part,
    { since, stamp }: Claim,
    { own, bornMs }: { readonly own: readonly (readonly [number, number])[]; readonly bornMs: number },
  ) {
    const { redis } = this.#options;
    const slots = own.filter(([slot]) => slot % redisParts === part.number);
    const args = [this.#token, String(since), String(stamp), String(bornMs), ...slots.flat().map(String)];
    const reply = await claimScript.run(redis, [part.keys.fence, part.keys.tags], args);
    if (String(reply) === 'former')
      throw new TakenError('a cluster that began later than this one writes here');
    const [made, sequence, floor, greatest, counted, tags, passed, passedBy, voided] = reply as (
      number | Buffer | null
    )[];
    return {
      made: made === 1,
      sequence: Number(String(sequence ?? 0)),
      floor: Number(String(floor)),
      stamp: Number(String(greatest)),
      tagsCounted: Number(String(counted)),
      tags: Number(String(tags)),
      passed: Number(passed),
      passedBy: Number(String(passedBy)),
      voided: voided === 1,
    };
  }

  async #tags({ keys }: Part): Promise<Map<string, number>> {
    const reply = (await this.#options.redis.command(keys.tags, ['HGETALL', keys.tags])) as Buffer[];
    const tags = new Map<string, number>();
    for (let at = 0; at + 1 < reply.length; at += 2)
      tags.set(String(reply[at]), Number(String(reply[at + 1])));
    return tags;
  }

  async #write(write: {
    readonly part: Part;
    readonly sequence: number;
    readonly batch: Batch;
    readonly rows: PartRows | undefined;
  }): Promise<void> {
    const { part, sequence, batch, rows } = write;
    const tags = part.number === 0 ? [...(batch.tags ?? [])] : [];
    const slots = [...(rows?.slots ?? [])];
    const keys = [part.keys.fence, part.keys.tags];
    const args: (string | Buffer)[] = [
      this.#token,
      String(this.#bornMs),
      String(sequence),
      String(batch.stamp),
      batch.clears ? String(batch.stamp - 1) : '',
      String(tags.length),
      ...tags.flatMap(([tag, version]) => [tag, String(version)]),
      String(slots.length),
      ...slots.map(String),
    ];
    const head = Buffer.allocUnsafe(stampBytes);
    head.writeDoubleBE(batch.stamp);
    for (const [key, row] of rows?.rows ?? []) {
      keys.push(part.keys.rows + key);
      if (row === null) args.push('x', '');
      else args.push(endOf(row), Buffer.concat([head, row.bytes]));
    }
    const answer = String(await applyScript.run(this.#options.redis, keys, args));
    if (answer === 'taken') throw new TakenError(`another process writes ${part.keys.fence}`);
    if (answer !== 'done') throw new ForgottenError(`${part.keys.fence} is not as this process left it`);
    part.confirmed = sequence;
  }

  #byPart(rows: Iterable<readonly [string, Row | null]>): PartRows[] {
    const groups = new Map<Part, PartRows>();
    for (const [key, row] of rows) {
      const slot = this.#options.slotOf(key);
      const part = this.#parts[slot % redisParts];
      if (part === undefined) throw new Error(`the slot ${slot} has no part`);
      const group = groups.get(part) ?? { part, slots: new Set<number>(), rows: [] };
      groups.set(part, group);
      group.slots.add(slot);
      group.rows.push([key, row]);
    }
    return [...groups.values()];
  }
}

/** Rounded up: what has ended is never served, whatever Redis still has. */
const endOf = ({ endsAtMs }: Row): string =>
  endsAtMs === Infinity ? '' : String(Math.max(1, Math.ceil(endsAtMs)));
