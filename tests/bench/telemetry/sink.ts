import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { SinkMessage } from './sink-main.ts';

/** Where both sides send to. */
export class Sink {
  readonly endpoint: string;
  readonly #child: ChildProcess;
  /** Items that were ever taken. */
  items = 0;

  private constructor(child: ChildProcess, endpoint: string) {
    this.#child = child;
    this.endpoint = endpoint;
    child.on('message', ({ items = 0 }: SinkMessage) => {
      this.items += items;
    });
  }

  static async start(): Promise<Sink> {
    const child = fork(join(import.meta.dirname, 'sink-main.ts'), [], { execArgv: [] });
    const [{ endpoint = '' }] = (await once(child, 'message')) as [SinkMessage];
    return new Sink(child, endpoint);
  }

  /** Whether every request is answered with 503 from now on. */
  refuse(isRefusing: boolean): void {
    this.#child.send(isRefusing);
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill();
    await ended;
  }
}
