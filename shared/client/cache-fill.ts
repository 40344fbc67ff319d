import type { LoadReply } from '#shared/protocol/cache-schemas.ts';
import { durationMs } from '#shared/protocol/durations.ts';
import { type Refusal, type Result, TrivetError, refuseField } from '#shared/protocol/errors.ts';
import {
  cacheFailureMsMax,
  cacheLoadLeaseMsDefault,
  errorMessageLengthMax,
  waitMsMax,
} from '#shared/protocol/limits.ts';
import { type Clock, within } from '#shared/runtime/clock.ts';
import type { Fill, GetOrSetOptions, SetOptions, Ttl } from './cache-options.ts';
import { isError, thrownText } from './error-stack.ts';

/** What filling needs of a namespace. */
export interface FillPort<T> {
  /** The entry as `get` gives it: a message that it shares with others. */
  read(key: string): Promise<Found<T>>;
  load(key: string, body: { readonly lease: number; readonly wait: number }): Promise<Result<LoadReply>>;
  /** Deletes this version of the key and no other. */
  remove(key: string, version: number): Promise<unknown>;
  loadFailed(key: string, body: LoadFailure): Promise<void>;
  /** Sets it; rejects with a `TrivetError`. */
  set(key: string, value: T, options: SetOptions & { readonly loadToken?: number }): Promise<unknown>;
  /** A value of the wire as one of the namespace; undefined where it does not fit its schema. */
  valueOf(value: unknown): T | undefined | Promise<T | undefined>;
  /** Hears of what nobody awaits. */
  failed(error: unknown, key: string): void;
  readonly clock: Clock;
}

export interface Found<T> {
  readonly value: T | undefined;
  readonly stale: boolean;
}

export const valueFound = <T>({ value }: Found<T>): T | undefined => value;

interface LoadFailure {
  readonly loadToken: number;
  readonly error: { readonly message: string };
  readonly ttl?: Ttl;
}

/** The right to fill that `load` gave; undefined: filled without one, since no node could be asked. */
type Right = number | undefined;

/** How a fill that returned undefined is told to whoever waits for it in other processes. */
const nothingFound = 'nothing found';

/** How often a value that does not fit makes way, where others go on to set such values. */
const attemptsMax = 3;

/**
 * Read-through: the value that is there, or the one that `fill` returns, which is then set. One caller in the whole
 * cluster fills (the node's `load`), callers in this process that ask at once share one lookup, and a cache that
 * cannot be reached counts as a miss, so that the source still serves.
 */
export class CacheFill<T> {
  readonly #port: FillPort<T>;
  /** What runs for each key: one lookup, or one refresh in the background. */
  readonly #running = new Map<string, Promise<T | undefined>>();
  readonly #refreshing = new Map<string, Promise<T | undefined>>();

  constructor(port: FillPort<T>) {
    this.#port = port;
  }

  /** Throws a `TrivetError` for a duration that is none. */
  getOrSet(key: string, fill: Fill<T>, options: GetOrSetOptions<T>): Promise<T> {
    const hardMs = msOf(options.hardTimeout, 'hardTimeout');
    msOf(options.softTimeout, 'softTimeout');
    msOf(options.lease, 'lease');
    // A bad one would be refused only when a fill has failed, and those who wait for it would hear nothing.
    const negativeMs = msOf(options.negativeTtl, 'negativeTtl') ?? 0;
    if (negativeMs > cacheFailureMsMax)
      throw new TrivetError(refuseField('negativeTtl', 'must be at most one hour').error);
    const running = options.forceFresh === true ? undefined : this.#running.get(key);
    const lookup = running ?? this.#begin(key, fill, options);
    // "Nothing found" is what the caller's own fill returned: its type says whether that can be.
    return this.#within(lookup as Promise<T>, hardMs, key);
  }

  /** The key was changed by this process: who asks from now on does not share what was begun before. */
  forget(key: string): void {
    this.#running.delete(key);
    this.#refreshing.delete(key);
  }

  forgetAll(): void {
    this.#running.clear();
    this.#refreshing.clear();
  }

  #begin(key: string, fill: Fill<T>, options: GetOrSetOptions<T>): Promise<T | undefined> {
    const lookup = this.#look(key, fill, options);
    this.#running.set(key, lookup);
    const end = () => {
      if (this.#running.get(key) === lookup) this.#running.delete(key);
    };
    lookup.then(end, end);
    return lookup;
  }

  async #look(key: string, fill: Fill<T>, options: GetOrSetOptions<T>): Promise<T | undefined> {
    if (options.forceFresh === true)
      return this.#fill(key, fill, options, { right: undefined, stale: undefined });
    if (options.earlyRefresh !== true) {
      const found = await this.#readIfReachable(key);
      // To ask for the right would be to wait once more, and longer, for those who do not answer.
      if (found === undefined) return this.#fill(key, fill, options, { right: undefined, stale: undefined });
      if (found.value !== undefined && !found.stale) return found.value;
    }
    return this.#load(key, fill, options, 1);
  }

  async #load(
    key: string,
    fill: Fill<T>,
    options: GetOrSetOptions<T>,
    attempt: number,
  ): Promise<T | undefined> {
    const leaseMs = msOf(options.lease, 'lease') ?? cacheLoadLeaseMsDefault;
    const reply = await this.#port.load(key, { lease: leaseMs, wait: Math.min(leaseMs, waitMsMax) });
    if (!reply.ok) return this.#withoutRight(reply.error, key, fill, options);
    const { hit, value, version, loadToken } = reply.value;
    const found = hit ? await this.#port.valueOf(value) : undefined;
    if (loadToken === undefined && found !== undefined) return found;
    if (hit && loadToken === undefined && version !== undefined && attempt < attemptsMax) {
      // What does not fit is a miss, but not for the node: it gives the right to fill only where nothing is.
      await this.#port.remove(key, version);
      return this.#load(key, fill, options, attempt + 1);
    }
    const refresh = () => this.#fill(key, fill, options, { right: loadToken, stale: found });
    return found === undefined ? refresh() : this.#staleOrFresh(key, found, refresh, options);
  }

  /** Somebody else's fill failed, took too long, or no node was there to ask. */
  #withoutRight(
    error: Refusal,
    key: string,
    fill: Fill<T>,
    options: GetOrSetOptions<T>,
  ): Promise<T | undefined> {
    if (error.details?.['loadFailed'] === true) {
      if (error.message === nothingFound) return Promise.resolve(undefined);
      return Promise.reject(new TrivetError(error));
    }
    const failure = new TrivetError(error);
    if (!failure.retryable) return Promise.reject(failure);
    return this.#fill(key, fill, options, { right: undefined, stale: undefined });
  }

  /** The stale value, unless a fresh one comes within the soft time-out. */
  async #staleOrFresh(
    key: string,
    stale: T,
    refresh: () => Promise<T | undefined>,
    options: GetOrSetOptions<T>,
  ): Promise<T | undefined> {
    const fresh = this.#refreshing.get(key) ?? refresh();
    if (!this.#refreshing.has(key)) {
      this.#refreshing.set(key, fresh);
      const end = () => {
        if (this.#refreshing.get(key) === fresh) this.#refreshing.delete(key);
      };
      fresh.then(end, end);
    }
    const failed = (error: unknown) => {
      this.#port.failed(error, key);
      return stale;
    };
    const settled = fresh.catch(failed);
    const softMs = msOf(options.softTimeout, 'softTimeout') ?? 0;
    if (softMs === 0) return stale;
    return (await within(this.#port.clock, softMs, settled, stale)) ?? stale;
  }

  /** Runs the fill, and tells the node how it ended. */
  async #fill(
    key: string,
    fill: Fill<T>,
    options: GetOrSetOptions<T>,
    { right, stale }: { readonly right: Right; readonly stale: T | undefined },
  ): Promise<T | undefined> {
    let value: T;
    try {
      value = await fill({ key, stale });
    } catch (error) {
      if (right !== undefined) await this.#tellFailure(key, right, textOf(error), options);
      throw error;
    }
    // Without a right nothing would keep it from landing behind a deletion that came after it was read.
    if (value !== undefined && right === undefined && options.forceFresh !== true) return value;
    if (value !== undefined) await this.#set(key, value, right, options);
    else if (right !== undefined) await this.#tellFailure(key, right, nothingFound, options);
    return value;
  }

  async #set(key: string, value: T, right: Right, options: GetOrSetOptions<T>): Promise<void> {
    const token = right === undefined ? {} : { loadToken: right };
    try {
      await this.#port.set(key, value, { ...setOptionsOf(value, options), ...token });
    } catch (error) {
      // Somebody changed the key meanwhile, or no node is there: the caller has its value all the same.
      if (error instanceof TrivetError && (error.retryable || error.code === 'lease_lost')) return;
      if (right !== undefined) await this.#tellFailure(key, right, textOf(error), options);
      throw error;
    }
  }

  async #tellFailure(
    key: string,
    loadToken: number,
    text: string,
    { negativeTtl }: GetOrSetOptions<T>,
  ): Promise<void> {
    const message = text.slice(0, errorMessageLengthMax);
    const ttl = negativeTtl === undefined ? {} : { ttl: negativeTtl };
    await this.#port.loadFailed(key, { loadToken, error: { message }, ...ttl });
  }

  /** Undefined where nobody answers. */
  async #readIfReachable(key: string): Promise<Found<T> | undefined> {
    try {
      return await this.#port.read(key);
    } catch (error) {
      if (error instanceof TrivetError && error.retryable) return undefined;
      throw error;
    }
  }

  #within(lookup: Promise<T>, hardMs: number | undefined, key: string): Promise<T> {
    if (hardMs === undefined) return lookup;
    return new Promise((resolve, reject) => {
      const cancel = this.#port.clock.after(hardMs, () => {
        const message = `no value of ${key} within ${hardMs} ms; the fill goes on`;
        reject(new TrivetError({ code: 'timeout', message }));
        // Whoever waited for it is gone: how it ends is told to whoever hears of what nobody awaits.
        lookup.catch((error: unknown) => this.#port.failed(error, key));
      });
      lookup.then(resolve, reject).finally(cancel);
    });
  }
}

function setOptionsOf<T>(value: T, options: GetOrSetOptions<T>): SetOptions {
  const { ttl, tags, sliding, grace } = options;
  const ttlOf = typeof ttl === 'function' ? ttl(value) : ttl;
  const tagsOf = typeof tags === 'function' ? tags(value) : tags;
  return {
    ...(ttlOf === undefined ? {} : { ttl: ttlOf }),
    ...(tagsOf === undefined ? {} : { tags: tagsOf }),
    ...(sliding === undefined ? {} : { sliding }),
    ...(grace === undefined ? {} : { grace }),
  };
}

/** Milliseconds of an option; a bad one is refused by its name, before anything is asked. */
function msOf(duration: Ttl | undefined, field: string): number | undefined {
  if (duration === undefined) return undefined;
  const ms = durationMs(duration);
  if (ms === undefined) throw new TrivetError(refuseField(field, 'must be a duration such as "2s"').error);
  return ms;
}

/** What a fill rejected with, as others hear of it; never the text that stands for "nothing found". */
function textOf(error: unknown): string {
  const text = isError(error) ? error.message : thrownText(error);
  return text === nothingFound ? `the fill failed: ${text}` : text;
}

/** Where nobody asked to hear of it. */
export function warnOfRefresh(namespace: string, key: string, error: unknown): void {
  process.emitWarning(`a refresh of ${key} in ${namespace} failed: ${textOf(error)}`, 'TrivetWarning');
}
