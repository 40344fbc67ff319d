import { availableParallelism } from 'node:os';
import { isOnPath } from '#services/cli/embedded-nats.ts';
import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import { lastLine, runCommand } from '#services/cli/nats-server/run-command.ts';

import { otelCollectorAvailable, startOtelCollector } from './otel-collector.ts';
import { missingPostgres } from './postgres-server.ts';

/** Something that tests need beside Node and the packages of this project. */
export interface Part {
  readonly name: string;
  /** Why it is not there, or undefined when it is. May take a while: nats-server is obtained here. */
  readonly missing: (progress: (line: string) => void) => Promise<string | undefined>;
  /** How to get it, for the list of what was not run. */
  readonly how: string;
}

const natsServer: Part = {
  name: 'nats-server',
  // Before any test: otherwise the first ones would all obtain it at the same time, within their timeouts.
  missing: (progress) =>
    resolveNatsServer({ progress }).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    ),
  how: 'put a current nats-server on PATH, or install Go: it is then built from source',
};

const otelCollector: Part = {
  name: 'OpenTelemetry Collector',
  missing: async () => {
    if (!(await otelCollectorAvailable()))
      return 'it was never built here, and there is no Go to build it with';
    // Built here and not in the first test that wants it: that takes minutes.
    const collector = await startOtelCollector();
    await collector.remove();
    return undefined;
  },
  how: 'install Go 1.21 or later: it is then built from source, once',
};

const redis: Part = {
  name: 'Redis',
  missing: async () => {
    if (isSet('TRIVET_TEST_REDIS_URL') || (await isOnPath('redis-server', process.env))) return undefined;
    return 'there is no redis-server on PATH, and TRIVET_TEST_REDIS_URL is not set';
  },
  how: 'install the package redis-server (it need not run), or set TRIVET_TEST_REDIS_URL to one that may be flushed',
};

const postgres: Part = {
  name: 'PostgreSQL',
  missing: missingPostgres,
  how: 'install the package postgresql (its server need not run)',
};

const python: Part = {
  name: 'Python',
  missing: () => answers('python3', ['-c', 'import venv, ensurepip']),
  how: 'install the packages python3, python3-pip and python3-venv',
};

const go: Part = {
  name: 'Go',
  missing: () => answers('go', ['version']),
  how: 'install Go 1.21 or later',
};

const docker: Part = {
  name: 'Docker',
  missing: async () => {
    const engine = await answers('docker', ['info']);
    if (engine !== undefined) return engine;
    const compose = await answers('docker', ['compose', 'version']);
    return compose === undefined ? undefined : answers('docker-compose', ['version']);
  },
  how: 'install Docker with Compose, start its daemon, and see that `docker info` works for you',
};

const prometheus: Part = {
  name: 'Prometheus',
  missing: async () => {
    const found = await Promise.all(['prometheus', 'promtool'].map((name) => isOnPath(name, process.env)));
    return found.every(Boolean) ? undefined : 'there is no prometheus or no promtool on PATH';
  },
  how: 'install the package prometheus (it need not run)',
};

const chromium: Part = {
  name: 'Chromium',
  missing: async () => {
    if (isSet('TRIVET_TEST_CHROMIUM') || (await isOnPath('chromium', process.env))) return undefined;
    return 'there is no chromium on PATH, and TRIVET_TEST_CHROMIUM is not set';
  },
  how: 'install the package chromium, or set TRIVET_TEST_CHROMIUM to the path of a Chromium or Chrome',
};

export interface TestKind {
  /** The project in vitest.config.ts, and the suffix of its files: `*.nats.test.ts`. `fast` has none. */
  readonly name: string;
  readonly parts: readonly Part[];
}

/**
 * Kinds that run at the same time, one round after the other.
 * `workers` bounds how many files run beside each other: tests that start real processes share the machine with
 * them, and a test of a whole cluster wants the machine for itself (its deadlines are those of a user).
 */
export interface Round {
  readonly kinds: readonly TestKind[];
  readonly workers: number;
}

export const rounds: readonly Round[] = [
  {
    kinds: [
      { name: 'fast', parts: [] },
      { name: 'sim', parts: [] },
    ],
    // Vitest leaves a processor to itself, which is half of a small machine: simulations ran one after the other there.
    workers: availableParallelism(),
  },
  {
    kinds: [
      { name: 'nats', parts: [natsServer] },
      { name: 'redis', parts: [natsServer, redis] },
      { name: 'postgres', parts: [natsServer, postgres] },
      { name: 'interop', parts: [natsServer, python, go] },
      { name: 'prometheus', parts: [natsServer, prometheus] },
      { name: 'browser', parts: [natsServer, chromium] },
      { name: 'collector', parts: [natsServer, otelCollector] },
    ],
    // One more than a small machine has processors: a third of their time they wait, for a disk or for a moment.
    workers: 3,
  },
  {
    kinds: [
      { name: 'container', parts: [natsServer, docker] },
      { name: 'e2e', parts: [natsServer] },
      { name: 'chaos', parts: [natsServer] },
    ],
    workers: 1,
  },
];

function isSet(variable: string): boolean {
  return (process.env[variable] ?? '') !== '';
}

async function answers(command: string, args: readonly string[]): Promise<string | undefined> {
  const { exitCode, stderr } = await runCommand(command, args, { timeoutMs: 20_000 });
  if (exitCode === 0) return undefined;
  return `\`${[command, ...args].join(' ')}\` fails: ${lastLine(stderr) || `exit code ${exitCode}`}`;
}
