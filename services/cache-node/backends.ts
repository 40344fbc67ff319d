import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { slotsOf } from '#shared/protocol/cache-slots.ts';
import { defaultRedisUrl } from '#shared/runtime/config.ts';
import { DamagedFileError } from '#shared/runtime/lmdb.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Backend } from './backend.ts';
import { FileBackend, type FileBackendOptions } from './file-backend.ts';
import { LateBackend } from './late-backend.ts';
import { RedisBackend, type RedisBackendOptions } from './redis-backend.ts';
import type { RedisConnection } from './redis-connection.ts';

export interface BackendsOptions extends Omit<RedisBackendOptions, 'redis' | 'namespace' | 'slotOf'> {
  /** Folder of this process. */
  readonly data: string;
  readonly redis: RedisConnection;
  readonly log: Log;
}

/** What a namespace can have beside memory. */
export type BackendType = 'file' | 'redis';

/** Makes the backends of namespaces. */
export class Backends {
  readonly #options: BackendsOptions;
  /** By path: the last one that was opened there. */
  readonly #files = new Map<string, Backend>();

  constructor(options: BackendsOptions) {
    this.#options = options;
  }

  make(type: BackendType, namespace: string, isInUse: (key: string) => boolean): Backend {
    if (type === 'file') {
      const options = { path: this.#pathOf(namespace), isInUse };
      return new LateBackend(() => this.#openFile(options));
    }
    const options = { ...this.#options, namespace, slotOf: slotsOf(namespace) };
    return new LateBackend(async () => {
      await options.redis.reached();
      return new RedisBackend(options);
    });
  }

  /** Rejects when there is no such backend just now. */
  async reach(type: BackendType): Promise<void> {
    if (type !== 'redis') return;
    await this.#options.redis.reached();
    await this.#options.redis.command(undefined, ['PING']);
  }

  /** Where it was looked for in vain. */
  placeOf(type: BackendType): string {
    if (type === 'file') return 'its folder for files of the cache';
    return this.#options.redis.isDefault
      ? `Redis at ${defaultRedisUrl}, which is where it looks while TRIVET_REDIS_URL says nothing else`
      : 'the Redis of its TRIVET_REDIS_URL';
  }

  /** Removes what a namespace has left in files. */
  async remove(namespace: string): Promise<void> {
    await rm(this.#pathOf(namespace), { recursive: true, force: true });
  }

  async #openFile(options: FileBackendOptions): Promise<Backend> {
    // What the membership before had under way would land behind what voids it.
    await this.#files.get(options.path)?.close();
    const file = await this.#fileAt(options);
    this.#files.set(options.path, file);
    return file;
  }

  /** A file that cannot be read is set aside, for whoever wants to look at it: a cache may forget. */
  async #fileAt(options: FileBackendOptions): Promise<Backend> {
    try {
      return new FileBackend(options);
    } catch (error) {
      if (!(error instanceof DamagedFileError)) throw error;
      const aside = `${options.path}.damaged-${this.#options.clock.nowMs()}`;
      this.#options.log.error({ err: error, aside }, 'a file of the cache is damaged and was set aside');
      await rename(options.path, aside);
      return new FileBackend(options);
    }
  }

  /** A name has no character that means something in a path. */
  #pathOf(namespace: string): string {
    return join(this.#options.data, 'cache', namespace);
  }
}
