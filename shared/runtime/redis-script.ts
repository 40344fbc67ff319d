import { createHash } from 'node:crypto';
import type { Redis } from './redis.ts';

/** A Lua script that Redis keeps by its digest. */
export class Script {
  readonly #source: string;
  readonly #digest: string;

  constructor(source: string) {
    this.#source = source;
    this.#digest = createHash('sha1').update(source).digest('hex');
  }

  /** Runs it, atomically. All keys must have one hash tag. */
  async run(redis: Redis, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return await redis.command(keys[0], ['EVALSHA', this.#digest, ...rest]);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return redis.command(keys[0], ['EVAL', this.#source, ...rest]);
    }
  }
}
