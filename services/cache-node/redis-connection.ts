import type { Clock } from '#shared/runtime/clock.ts';
import { defaultRedisUrl } from '#shared/runtime/config.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Redis } from '#shared/runtime/redis.ts';

export interface RedisConnectionOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long one try to connect for the first time may take, and how long until the next, in milliseconds. */
const connectMsMax = 2_000;
const againMs = 250;

/**
 * The Redis of all namespaces that have one, connected to when the first of them needs it. Until it was reached for the
 * first time every command rejects at once, as it does afterwards whenever there is no connection.
 */
export class RedisConnection implements Redis {
  readonly #options: RedisConnectionOptions;
  #redis: Redis | undefined;
  #hasBegun = false;
  #isClosed = false;

  constructor(options: RedisConnectionOptions) {
    this.#options = options;
  }

  /** Whether it is where Redis is looked for while nobody says where it is. */
  get isDefault(): boolean {
    return this.#options.url === defaultRedisUrl;
  }

  get isCluster(): boolean {
    return this.#redis?.isCluster === true;
  }

  command(key: string | undefined, args: readonly (string | Buffer)[]): Promise<unknown> {
    if (this.#redis !== undefined) return this.#redis.command(key, args);
    if (!this.#hasBegun) void this.#connect();
    return Promise.reject(new Error('Redis has not been reached yet'));
  }

  /** Resolves once it is reached; rejects after one try that failed, and goes on trying. */
  async reached(): Promise<void> {
    if (this.#redis === undefined) await this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    this.#redis?.close();
  }

  #first: Promise<void> | undefined;

  #connect(): Promise<void> {
    this.#hasBegun = true;
    this.#first ??= this.#tryOnce().catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'Redis cannot be reached, trying again');
      this.#again();
      throw error;
    });
    this.#first.catch(() => undefined);
    return this.#first;
  }

  #again(): void {
    this.#options.clock.after(againMs, () => {
      if (!this.#isClosed) void this.#tryOnce().catch(() => this.#again());
    });
  }

  async #tryOnce(): Promise<void> {
    // Only now: the library takes half a second and 30 MB, which nodes without Redis need not spend.
    const { connectRedis } = await import('#shared/runtime/redis.ts');
    const redis = await connectRedis({ ...this.#options, connectMsMax });
    if (this.#isClosed) redis.close();
    else this.#redis = redis;
  }
}
