import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import type { Sides, Workload } from '#tests/bench/measure.ts';
import type { Suite } from '#tests/bench/suite.ts';
import { versionIn } from '#tests/bench/versions.ts';
import { startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceName, natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type Load, loaded } from './load.ts';

const token = 'token-of-the-gateway-benchmark';
const peerName = 'bare Fastify';

/** The gateway beside a bare Fastify that sends the same body back: what identity, checks and NATS cost. */
export const gatewaySuite = (seconds = 5): Suite => ({
  workloads: [
    workload({
      workload: 'live',
      durability: 'none',
      notes: 'GET /health/live; beside it a constant object',
      services: [],
      request: { method: 'GET', path: '/health/live' },
      seconds,
    }),
    workload({
      workload: 'cached-get',
      durability: 'memory',
      notes: 'POST /cache/operation, get of 200 bytes; beside it the body comes back',
      services: ['cache-node'],
      prepare: { operation: 'set', key: 'key-1', value: 'v'.repeat(200) },
      request: { method: 'POST', path: '/cache/operation', body: { operation: 'get', key: 'key-1' } },
      seconds,
    }),
    workload({
      workload: 'enqueue',
      durability: 'fsync',
      notes:
        'POST /queue/enqueue, payload of 200 bytes, durable when answered; beside it the body comes back',
      services: ['queue-broker'],
      request: {
        method: 'POST',
        path: '/queue/enqueue',
        body: { queue_name: 'bench', payload: { text: 'p'.repeat(189) } },
      },
      seconds,
    }),
  ],
  versions: async () => ({
    node: process.version,
    'nats-server': (await resolveNatsServer()).version,
    trivet: versionIn('package.json'),
    fastify: versionIn('node_modules/fastify/package.json'),
    autocannon: versionIn('node_modules/autocannon/package.json'),
  }),
});

interface GatewayWorkload extends Pick<Workload, 'workload' | 'durability' | 'notes'> {
  readonly services: readonly ServiceName[];
  /** A cache operation that comes first. */
  readonly prepare?: object;
  readonly request: { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: object };
  readonly seconds: number;
}

const workload = ({ services, prepare, request, seconds, ...named }: GatewayWorkload): Workload => ({
  ...named,
  unit: 'items/s',
  peerName,
  open: async (): Promise<Sides> => {
    const data = await mkdtemp(join(tmpdir(), 'trivet-bench-gateway-'));
    const nats = await startNatsServer();
    const start = (name: ServiceName) =>
      startService(name, {
        ...natsEnvironment(nats),
        TRIVET_DATA: join(data, name),
        TRIVET_TOKEN: token,
        TRIVET_HTTP_PORT: '0',
        TRIVET_METRICS_PORT: '0',
      });
    const started = await Promise.all(services.map(start));
    const gateway = await start('gateway');
    const echo = fork('tests/bench/gateway/echo-main.ts', [], { execArgv: [] });
    const echoUrl = await urlOf(echo);
    const url = `${gateway.http ?? ''}${request.path}`;
    if (prepare !== undefined) await post(`${gateway.http ?? ''}/cache/operation`, prepare);
    const load: Omit<Load, 'url' | 'processes'> = { ...request, seconds };
    const processes = {
      gateway: [gateway.pid],
      ...(started.length === 0 ? {} : { services: started.map(({ pid }) => pid), nats: [nats.pid] }),
    };
    return {
      ours: () => loaded({ ...load, token, url, processes }),
      peer: () => loaded({ ...load, url: echoUrl, processes: { echo: [echo.pid ?? 0] } }),
      close: async () => {
        echo.kill();
        await gateway.stop();
        await Promise.all(started.map((service) => service.stop()));
        await nats.stop();
        await rm(data, { recursive: true, force: true });
      },
    };
  },
});

async function urlOf(child: ChildProcess): Promise<string> {
  const [message] = (await once(child, 'message')) as [{ readonly http: string }];
  return message.http;
}

async function post(url: string, body: object): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
}
