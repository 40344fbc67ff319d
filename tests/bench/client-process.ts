import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { ClientMessage, TaskMap, TaskMessage } from './task-messages.ts';

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A client in a process of its own, so that its CPU is its own and both sides are laid out alike. */
export class ClientProcess<Tasks extends TaskMap<Tasks>> {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, { resolve: (output: unknown) => void; reject: (error: Error) => void }>();
  #lastId = 0;
  /** Hears of handled items while a worker runs. */
  onHandled: (items: number) => void = () => undefined;

  /**
   * Starts one, connected to its system.
   * @param main     file that serves the tasks (`serveTasks`)
   * @param address  what it connects to: its only argument, as JSON
   */
  static async start<Tasks extends TaskMap<Tasks>>(
    main: string,
    address: { readonly system: string },
  ): Promise<ClientProcess<Tasks>> {
    const child = fork(main, [JSON.stringify(address)], { execArgv: [], serialization: 'advanced' });
    running.add(child);
    const ended = once(child, 'exit').then(() => undefined);
    const first = await Promise.race([once(child, 'message'), ended]);
    if (first === undefined) throw new Error(`a client process of ${address.system} ended while it started`);
    return new ClientProcess(child);
  }

  constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.on('message', (message) => this.#take(message as ClientMessage));
    child.once('exit', () => {
      running.delete(child);
      for (const one of this.#asked.values()) one.reject(new Error('a client process ended in the middle'));
    });
  }

  run<K extends keyof Tasks>(task: K, input: Tasks[K]['input']): Promise<Tasks[K]['output']> {
    this.#lastId += 1;
    const message: TaskMessage<Tasks, K> = { id: this.#lastId, task, input };
    return new Promise<unknown>((resolve, reject) => {
      this.#asked.set(message.id, { resolve, reject });
      this.#child.send(message);
    });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }

  #take(message: ClientMessage): void {
    if (message.kind === 'progress') this.onHandled(message.handled);
    if (message.kind !== 'done' && message.kind !== 'failed') return;
    const asked = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if (message.kind === 'done') asked?.resolve(message.output);
    else asked?.reject(new Error(message.problem));
  }
}
