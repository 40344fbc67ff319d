import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './free-port.ts';

export interface RunningPrometheus {
  /** What it answers to one PromQL expression now: labels and value of each sample. */
  query(
    expression: string,
  ): Promise<readonly { readonly metric: Readonly<Record<string, string>>; readonly value: number }[]>;
  /** Exemplars of a series in the last ten minutes. */
  exemplars(expression: string): Promise<readonly unknown[]>;
  stop(): Promise<void>;
}

/** What `promtool check metrics` has to say about a scrape; empty when it is clean. */
export function promtoolProblems(text: string): string {
  try {
    execFileSync('promtool', ['check', 'metrics'], { input: text, stdio: ['pipe', 'pipe', 'pipe'] });
    return '';
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: Buffer; stderr?: Buffer };
    return `${stdout?.toString() ?? ''}${stderr?.toString() ?? ''}` || String(error);
  }
}

const startMsMax = 30_000;

/** Starts a Prometheus that scrapes `targets` (host and port) every second. */
export async function startPrometheus(targets: readonly string[]): Promise<RunningPrometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-prometheus-'));
  const port = await freePort();
  const config = {
    global: { scrape_interval: '1s' },
    scrape_configs: [{ job_name: 'trivet', honor_labels: true, static_configs: [{ targets }] }],
  };
  // JSON is YAML.
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config));
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--enable-feature=exemplar-storage',
    ],
    { stdio: 'ignore' },
  );
  const base = `http://127.0.0.1:${port}`;
  await ready(base, child);
  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`${base}${path}`);
    return ((await response.json()) as { readonly data: unknown }).data;
  };
  return {
    query: async (expression) => {
      const data = (await ask(`/api/v1/query?query=${encodeURIComponent(expression)}`)) as {
        readonly result: readonly {
          readonly metric: Readonly<Record<string, string>>;
          readonly value: readonly [number, string];
        }[];
      };
      return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
    },
    exemplars: async (expression) => {
      const end = Date.now() / 1_000 + 60;
      const query = encodeURIComponent(expression);
      return (await ask(
        `/api/v1/query_exemplars?query=${query}&start=${end - 660}&end=${end}`,
      )) as readonly unknown[];
    },
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function ready(base: string, child: ChildProcess): Promise<void> {
  const endMs = performance.now() + startMsMax;
  for (;;) {
    const isReady = await fetch(`${base}/-/ready`).then(
      (response) => response.ok,
      () => false,
    );
    if (isReady) return;
    if (performance.now() > endMs || child.exitCode !== null) {
      child.kill('SIGKILL');
      throw new Error('prometheus does not start');
    }
    await delay(50);
  }
}
