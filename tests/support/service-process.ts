import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { entryOfService } from '#services/cli/cluster-plan.ts';
import type { RunningNatsServer } from './nats-server.ts';

/** A service that runs as a process of its own, as the supervisor would run it. */
export interface ServiceProcess {
  readonly pid: number;
  /** Base URL, where the service speaks HTTP. */
  readonly http?: string;
  /** The end of what it wrote, for a test that failed. */
  output(): string;
  /** SIGTERM, then its exit code: 0 after an orderly drain, null when it had to be killed. */
  stop(): Promise<number | null>;
  /** SIGKILL, and wait until it is gone. */
  kill(): Promise<void>;
}

export type ServiceName = 'queue-broker' | 'cache-node' | 'telemetry-collector' | 'gateway' | 'auth-callout';

const readyMsMax = 30_000;
const stopMsMax = 20_000;
const outputLengthMax = 20_000;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Starts `services/<name>/main.ts` and waits until it says over IPC that it serves.
 * Rejects with what it wrote when it ends or stays silent for 30 s instead.
 * @param env its settings; of this process's own environment, nothing that Trivet reads is handed on
 */
export async function startService(
  name: ServiceName,
  env: Readonly<Record<string, string>>,
): Promise<ServiceProcess> {
  const { [folderOfNats]: folder, ...settings } = env;
  // A service's own default is one folder for all tests, also those that run beside each other.
  const data = folder === undefined ? {} : { TRIVET_DATA: join(folder, 'services', name) };
  const child = fork(entryOfService(name), [], {
    env: { ...foreignEnvironment(), ...data, ...settings },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  running.add(child);
  child.on('exit', () => running.delete(child));
  const output = collectOutput(child);
  const readiness = await ready(child, name, output);
  return {
    pid: child.pid ?? 0,
    ...(readiness.http === undefined ? {} : { http: readiness.http }),
    output,
    stop: () => stop(child),
    kill: async () => {
      await end(child, 'SIGKILL');
    },
  };
}

/** Among the settings, for `startService` alone: where a service keeps its data unless it is told. */
const folderOfNats = 'folder of NATS';

/** The settings with which a service finds `nats` as one of the services. */
export const natsEnvironment = (nats: RunningNatsServer): Record<string, string> => ({
  [folderOfNats]: nats.dir,
  NATS_URL: nats.url,
  TRIVET_NATS_USER: nats.user,
  TRIVET_NATS_PASSWORD: nats.password,
});

function foreignEnvironment(): NodeJS.ProcessEnv {
  const own = /^(TRIVET_|NATS_|OTEL_|VITEST|NODE_OPTIONS|NODE_ENV)/;
  return Object.fromEntries(Object.entries(process.env).filter(([variable]) => !own.test(variable)));
}

function collectOutput(child: ChildProcess): () => string {
  let written = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      written = (written + text).slice(-outputLengthMax);
    });
  }
  return () => written;
}

function ready(child: ChildProcess, name: string, output: () => string): Promise<{ http?: string }> {
  return new Promise((resolve, reject) => {
    const fail = (problem: string) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new Error(`${name} ${problem}:\n${output()}`));
    };
    const timer = setTimeout(() => fail(`did not serve within ${readyMsMax} ms`), readyMsMax);
    child.on('error', (error) => fail(`could not be started: ${error.message}`));
    // `close` and not `exit`: only then has everything been read that it wrote.
    child.once('close', (code, signal) => fail(`ended with ${code ?? signal} before it served`));
    child.on('message', (message: { type?: string; http?: string }) => {
      if (message.type !== 'ready') return;
      clearTimeout(timer);
      resolve(message);
    });
  });
}

async function stop(child: ChildProcess): Promise<number | null> {
  const cancelled = new AbortController();
  const deadline = delay(stopMsMax, 'late', { signal: cancelled.signal, ref: false }).catch(() => 'ended');
  const first = await Promise.race([end(child, 'SIGTERM').then(() => 'ended'), deadline]);
  cancelled.abort();
  if (first === 'late') await end(child, 'SIGKILL');
  return child.exitCode;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}
