import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cacheRoot } from '#services/cli/nats-server/cache-root.ts';
import { lastLine, runCommand } from '#services/cli/nats-server/run-command.ts';
import { freePort } from './free-port.ts';

// The real OpenTelemetry Collector, with an OTLP receiver, the file exporter that is our oracle, and the OTLP exporters
// that make it a sender to us and the peer of our benchmarks. It is built once from source and kept, since its makers
// publish no binary with these parts alone.

export const otelCollectorVersion = '0.162.0';
const version = otelCollectorVersion;

const manifest = `dist:
  name: otelcol
  output_path: ./source
  version: ${version}
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v${version}
exporters:
  - gomod: github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter v${version}
  - gomod: go.opentelemetry.io/collector/exporter/otlpexporter v${version}
  - gomod: go.opentelemetry.io/collector/exporter/otlphttpexporter v${version}
`;

// A small machine takes minutes for the first build.
const buildMsMax = 20 * 60_000;
const startMsMax = 30_000;

/** A line of the oracle: an OTLP request as JSON. */
export interface ExportedLine {
  readonly resourceLogs?: readonly ResourceLogs[];
  readonly resourceMetrics?: readonly ResourceMetrics[];
  readonly resourceSpans?: readonly ResourceSpans[];
}

export interface KeyValue {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface Resource {
  readonly attributes?: readonly KeyValue[];
}

export interface LogRecord {
  readonly timeUnixNano?: string;
  readonly severityNumber?: number;
  readonly severityText?: string;
  readonly eventName?: string;
  readonly body?: { readonly stringValue?: string };
  readonly attributes?: readonly KeyValue[];
  readonly traceId?: string;
  readonly spanId?: string;
}

interface ResourceLogs {
  readonly resource: Resource;
  readonly scopeLogs: readonly { readonly logRecords: readonly LogRecord[] }[];
}

export interface Point {
  readonly attributes?: readonly KeyValue[];
  readonly startTimeUnixNano?: string;
  readonly timeUnixNano: string;
  readonly asDouble?: number;
  readonly count?: string;
  readonly sum?: number;
  readonly bucketCounts?: readonly string[];
  readonly explicitBounds?: readonly number[];
}

export interface Metric {
  readonly name: string;
  readonly unit?: string;
  readonly sum?: {
    readonly dataPoints: readonly Point[];
    readonly isMonotonic?: boolean;
    /** 1 is delta, 2 cumulative. */
    readonly aggregationTemporality?: number;
  };
  readonly gauge?: { readonly dataPoints: readonly Point[] };
  readonly histogram?: { readonly dataPoints: readonly Point[]; readonly aggregationTemporality?: number };
}

interface ResourceMetrics {
  readonly resource: Resource;
  readonly scopeMetrics: readonly { readonly metrics: readonly Metric[] }[];
}

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status?: { readonly code?: number };
}

interface ResourceSpans {
  readonly resource: Resource;
  readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
}

export interface RunningOtelCollector {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly endpoint: string;
  readonly grpcEndpoint: string;
  pid(): number;
  /** Everything that it has written, in order. */
  lines(): Promise<readonly ExportedLine[]>;
  logs(): Promise<readonly LogRecord[]>;
  metrics(): Promise<readonly Metric[]>;
  spans(): Promise<readonly Span[]>;
  /** Ends it; its file stays until `remove`. */
  stop(): Promise<void>;
  /** Starts it again on the same port and file. */
  start(): Promise<void>;
  remove(): Promise<void>;
}

/** True where the Collector is there or can be built; a test run that skips its tests has to say so. */
export async function otelCollectorAvailable(): Promise<boolean> {
  if (existsSync(binaryPath())) return true;
  const go = await runCommand('go', ['version'], { timeoutMs: 10_000 });
  return go.exitCode === 0;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface OtelCollectorOptions {
  /** Where it sends what it receives, and answers once that has taken it; without it the file is where it goes. */
  readonly forwardTo?: { readonly type: 'http' | 'grpc'; readonly endpoint: string; readonly token?: string };
}

/** Starts a Collector on free ports of loopback, building it first where it was never built. */
export async function startOtelCollector(options: OtelCollectorOptions = {}): Promise<RunningOtelCollector> {
  const binary = await builtBinary();
  const folder = await mkdtemp(join(tmpdir(), 'trivet-otelcol-'));
  const port = await freePort();
  const grpcPort = await freePort();
  const output = join(folder, 'out.jsonl');
  await writeFile(join(folder, 'config.yaml'), configText({ port, grpcPort, output, ...options }));
  let child: ChildProcess | undefined;
  const start = async () => {
    child = await run(binary, join(folder, 'config.yaml'), port);
  };
  const stop = async () => {
    if (child !== undefined) await end(child);
    child = undefined;
  };
  const lines = () => linesOf(output);
  await start();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    grpcEndpoint: `http://127.0.0.1:${grpcPort}`,
    pid: () => child?.pid ?? 0,
    lines,
    logs: async () =>
      (await lines()).flatMap((line) =>
        (line.resourceLogs ?? []).flatMap((one) => one.scopeLogs.flatMap((scope) => scope.logRecords)),
      ),
    metrics: async () =>
      (await lines()).flatMap((line) =>
        (line.resourceMetrics ?? []).flatMap((one) => one.scopeMetrics.flatMap((scope) => scope.metrics)),
      ),
    spans: async () =>
      (await lines()).flatMap((line) =>
        (line.resourceSpans ?? []).flatMap((one) => one.scopeSpans.flatMap((scope) => scope.spans)),
      ),
    start,
    stop,
    remove: async () => {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function binaryPath(): string {
  // Another list of parts is another binary.
  const parts = createHash('sha256').update(manifest).digest('hex').slice(0, 8);
  return join(cacheRoot(process.env), `otelcol-${version}-${parts}`, 'otelcol');
}

async function builtBinary(): Promise<string> {
  const path = binaryPath();
  if (existsSync(path)) return path;
  const folder = join(path, '..');
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, '.build-'));
  console.log(`building the OpenTelemetry Collector ${version} from source (some minutes, once)`);
  await writeFile(join(work, 'manifest.yaml'), manifest);
  await go(['install', `go.opentelemetry.io/collector/cmd/builder@v${version}`], work, work);
  // The builder writes the sources and tidies their modules, which also asks for what only the modules' own tests
  // need. That may fail where the build would not, so its outcome is judged by the build.
  await runCommand(join(work, 'builder'), ['--config', 'manifest.yaml', '--skip-compilation'], {
    timeoutMs: buildMsMax,
    cwd: work,
    env: goEnvironment(work),
  });
  await go(
    ['build', '-mod=mod', '-trimpath', '-ldflags=-s -w', '-o', '../otelcol', '.'],
    join(work, 'source'),
    work,
  );
  // Whoever else has built it meanwhile has built the same.
  await rename(join(work, 'otelcol'), path);
  await rm(work, { recursive: true, force: true });
  return path;
}

async function go(args: readonly string[], cwd: string, bin: string): Promise<void> {
  const { exitCode, stderr } = await runCommand('go', args, {
    timeoutMs: buildMsMax,
    cwd,
    env: goEnvironment(bin),
  });
  if (exitCode !== 0) throw new Error(`go ${args[0]} failed: ${lastLine(stderr)}`);
}

const goEnvironment = (bin: string): NodeJS.ProcessEnv => ({ ...process.env, GOBIN: bin, CGO_ENABLED: '0' });

interface ConfigOptions extends OtelCollectorOptions {
  readonly port: number;
  readonly grpcPort: number;
  readonly output: string;
}

// JSON is YAML, too.
const configText = ({ port, grpcPort, output, forwardTo }: ConfigOptions): string => {
  const exporters = exportersOf(output, forwardTo);
  const pipeline = { receivers: ['otlp'], exporters: Object.keys(exporters) };
  const protocols = {
    http: { endpoint: `127.0.0.1:${port}` },
    grpc: { endpoint: `127.0.0.1:${grpcPort}` },
  };
  return JSON.stringify({
    receivers: { otlp: { protocols } },
    exporters,
    service: {
      telemetry: { logs: { level: 'warn' }, metrics: { level: 'none' } },
      pipelines: { metrics: pipeline, logs: pipeline, traces: pipeline },
    },
  });
};

function exportersOf(
  output: string,
  forwardTo: OtelCollectorOptions['forwardTo'],
): Readonly<Record<string, object>> {
  if (forwardTo === undefined) return { file: { path: output, append: true, flush_interval: '100ms' } };
  const { type, endpoint, token } = forwardTo;
  const common = {
    endpoint,
    // Without a queue it answers when the next one has answered.
    sending_queue: { enabled: false },
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
  };
  if (type === 'http') return { otlphttp: { ...common, compression: 'none' } };
  return { otlp: { ...common, tls: { insecure: true } } };
}

async function run(binary: string, config: string, port: number): Promise<ChildProcess> {
  const child = spawn(binary, ['--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  running.add(child);
  child.on('exit', () => running.delete(child));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-4_000);
  });
  const endMs = performance.now() + startMsMax;
  while (!(await answers(port))) {
    if (child.exitCode !== null || performance.now() > endMs)
      throw new Error(`the OpenTelemetry Collector did not start:\n${log}`);
    await delay(50);
  }
  return child;
}

/** An empty OTLP request is a good one. */
async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/v1/logs`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
    });
    return response.ok;
  } catch {
    return false;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** Whole lines only: the last one may still be on its way. */
async function linesOf(path: string): Promise<readonly ExportedLine[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ExportedLine);
}
