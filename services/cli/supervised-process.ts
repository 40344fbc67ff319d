import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

import type { Clock } from '#shared/runtime/clock.ts';
import type { OtlpPorts } from '#shared/runtime/lifecycle.ts';
import { StartRefused } from '#shared/runtime/exit-codes.ts';

import { afterCrash, type CrashHistory, neverCrashed } from './restart-policy.ts';

export interface ProcessPlan {
  /** Stable over restarts: `queue-broker-1`. */
  readonly name: string;
  /** What it is one of: `queue-broker`. */
  readonly service: string;
  /** The module that Node runs. */
  readonly entry: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What a restart must keep of the first start, such as a port that was any free one. */
  readonly envAfter?: (ready: ReadyMessage) => Readonly<Record<string, string>>;
}

/** What a process says over IPC when it serves. */
export interface ReadyMessage {
  readonly type: 'ready';
  /** Base URL, where it speaks HTTP. */
  readonly http?: string;
  readonly otlp?: OtlpPorts;
  /** Of nats-server, from its keeper. */
  readonly nats?: { readonly pid: number; readonly port: number; readonly monitorPort: number | undefined };
}

export interface ProcessReport {
  /** A line that the process printed. */
  output(name: string, line: string): void;
  /** Something about the process that people should see. */
  notice(level: 'info' | 'warn', name: string, text: string): void;
  /** Its pid is another one now, or none. */
  changed(): void;
}

type Life =
  | { readonly kind: 'idle' }
  | { readonly kind: 'running'; readonly child: ChildProcess; readonly sinceMs: number }
  | { readonly kind: 'waiting'; readonly cancel: () => void }
  | { readonly kind: 'stopping'; readonly child: ChildProcess }
  | { readonly kind: 'stopped' };

/**
 * Keeps one process running: starts it, starts it again with back-off when it ends by itself, and ends it when told.
 * Each runs in a process group of its own, so that a Ctrl-C on the terminal reaches the supervisor alone, which then
 * ends all in their order; and it has an IPC channel, whose end tells it that the supervisor is gone.
 */
export class SupervisedProcess {
  readonly plan: ProcessPlan;
  readonly #report: ProcessReport;
  readonly #clock: Clock;
  readonly #firstReady = Promise.withResolvers<ReadyMessage>();
  readonly #stopped = Promise.withResolvers<void>();
  #life: Life = { kind: 'idle' };
  #ready: ReadyMessage | undefined;
  #history: CrashHistory = neverCrashed;
  #lastLine = '';

  constructor(plan: ProcessPlan, report: ProcessReport, clock: Clock) {
    this.plan = plan;
    this.#report = report;
    this.#clock = clock;
    // A refusal that comes while nobody awaits it yet is not an unhandled one: `start` hands out the promise.
    this.#firstReady.promise.catch(() => undefined);
  }

  /** Pid of the process that runs now. */
  get pid(): number | undefined {
    return this.#life.kind === 'running' || this.#life.kind === 'stopping' ? this.#life.child.pid : undefined;
  }

  /** What it said when it last became ready. */
  get ready(): ReadyMessage | undefined {
    return this.#ready;
  }

  /**
   * Starts it and waits until it serves, however many attempts that takes.
   * @throws StartRefused when it says, before it ever served, that it cannot run so (exit code 2 or 3)
   */
  start(): Promise<ReadyMessage> {
    this.#spawn();
    return this.#firstReady.promise;
  }

  /** Asks it to drain, and kills it (and what it started) when that takes longer than `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    const life = this.#life;
    if (life.kind === 'running') {
      this.#life = { kind: 'stopping', child: life.child };
      life.child.kill('SIGTERM');
      const cancel = this.#clock.after(deadlineMs, () => {
        this.#report.notice(
          'warn',
          this.plan.name,
          `did not end within ${deadlineMs / 1000} s and is killed`,
        );
        killGroup(life.child);
      });
      void this.#stopped.promise.then(cancel);
    } else if (life.kind !== 'stopping') {
      if (life.kind === 'waiting') life.cancel();
      this.#life = { kind: 'stopped' };
      this.#stopped.resolve();
    }
    await this.#stopped.promise;
  }

  /** Ends it at once, with what it started. */
  kill(): void {
    const life = this.#life;
    if (life.kind === 'waiting') life.cancel();
    this.#life = { kind: 'stopped' };
    if (life.kind === 'running' || life.kind === 'stopping') killGroup(life.child);
    this.#stopped.resolve();
  }

  #spawn(): void {
    const kept = this.#ready === undefined ? {} : this.plan.envAfter?.(this.#ready);
    const child = spawn(process.execPath, [this.plan.entry], {
      env: { ...this.plan.env, ...kept },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    });
    this.#life = { kind: 'running', child, sinceMs: this.#clock.monotonicMs() };
    this.#forward(child.stdout);
    this.#forward(child.stderr);
    child.on('message', (message) => this.#onMessage(message));
    child.on('error', (error) => this.#report.notice('warn', this.plan.name, error.message));
    // What the process started and left behind (a nats-server whose keeper was killed) must not live on beside the
    // next one.
    child.on('exit', () => killGroup(child));
    child.on('close', (code, signal) => this.#onEnd(code, signal));
    this.#report.changed();
  }

  #forward(stream: Readable | null): void {
    if (stream === null) return;
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
      if (line === '') return;
      this.#lastLine = line;
      this.#report.output(this.plan.name, line);
    });
  }

  #onMessage(message: unknown): void {
    if (!isReadyMessage(message)) return;
    const again = this.#ready !== undefined;
    this.#ready = message;
    this.#firstReady.resolve(message);
    this.#report.changed();
    if (again) this.#report.notice('info', this.plan.name, 'serves again');
  }

  // After `close`, not `exit`: all that it printed has been read, and its last line may be the reason.
  #onEnd(code: number | null, signal: NodeJS.Signals | null): void {
    const life = this.#life;
    if (life.kind !== 'running') {
      this.#life = { kind: 'stopped' };
      this.#stopped.resolve();
    } else if (this.#ready === undefined && (code === 2 || code === 3)) {
      this.#life = { kind: 'stopped' };
      this.#stopped.resolve();
      this.#firstReady.reject(
        new StartRefused(code, `${this.plan.name} cannot start: ${messageOf(this.#lastLine)}`),
      );
    } else this.#restartLater(life.sinceMs, reasonOf(code, signal));
    this.#report.changed();
  }

  #restartLater(sinceMs: number, reason: string): void {
    const { delayMs, history } = afterCrash(this.#history, this.#clock.monotonicMs() - sinceMs);
    this.#history = history;
    this.#report.notice(
      'warn',
      this.plan.name,
      `ended by itself (${reason}); starting it again in ${delayMs / 1000} s`,
    );
    this.#life = { kind: 'waiting', cancel: this.#clock.after(delayMs, () => this.#spawn()) };
  }
}

function isReadyMessage(message: unknown): message is ReadyMessage {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === 'ready';
}

// LMDB reads its file as memory: where the file is cut or garbled the system ends the process, which can say nothing.
const memorySignals: ReadonlySet<string | null> = new Set(['SIGSEGV', 'SIGBUS', 'SIGABRT']);

function reasonOf(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === null) return `exit code ${code}`;
  return memorySignals.has(signal) ? `${signal}: its file may be damaged, see docs/operations.md` : signal;
}

// A negative pid means the group; it is gone already when the process was alone in it.
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    return;
  }
}

// The last log line of a service that refuses to start is its reason, as JSON.
function messageOf(line: string): string {
  try {
    const { msg } = JSON.parse(line) as { msg?: unknown };
    return typeof msg === 'string' ? msg : line;
  } catch {
    return line;
  }
}
