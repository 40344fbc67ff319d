import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createTelemetry } from '#shared/client/telemetry.ts';
import { encode, json } from '#shared/protocol/encoding.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import {
  type RunningPrometheus,
  promtoolProblems,
  startPrometheus,
} from '#tests/support/prometheus-server.ts';
import { freePort } from '#tests/support/free-port.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { CollectorCluster, until } from './running-collector.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let cluster: CollectorCluster;
let collector: ServiceProcess;
let prometheus: RunningPrometheus | undefined;

beforeEach(async () => {
  cluster = await CollectorCluster.start();
  collector = await cluster.startCollector();
});

afterEach(async () => {
  await prometheus?.stop();
  prometheus = undefined;
  await cluster.stop();
});

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

async function publishEverything(): Promise<void> {
  const telemetry = createTelemetry(cluster.nats, cluster.subjects, { source: 'shop' });
  await telemetry.counter('orders', 2, { tags: { region: 'eu "north"\n\\' } });
  await telemetry.gauge('queue.depth', 7);
  await telemetry.histogram('basket.size', 12, { unit: 'EUR' });
  await telemetry.performance({ operation: 'checkout', durationMs: 12.5, success: true });
  await telemetry.log({ message: 'opened' });
  const headers = headersOf({ traceparent });
  await cluster.nats.js.publish(
    cluster.subjects.telemetry('metric'),
    encode(
      [
        { name: 'steps', value: 3, type: 'exponential_histogram', source: 'shop' },
        { name: 'traced', value: 1, type: 'counter', source: 'shop' },
      ],
      json,
    ),
    headers && { headers },
  );
  await cluster.nats.js.publish(cluster.subjects.telemetry('log'), '{"message":1}');
  await until(
    () => cluster.stats(),
    ({ kinds }) => kinds.log.received === 2 && kinds.metric.received === 5,
  );
}

test('promtool finds nothing to say about a scrape, in either format', async () => {
  await publishEverything();
  const url = `${collector.http}/metrics`;
  expect(promtoolProblems(await (await fetch(url)).text())).toBe('');
  const open = await fetch(url, { headers: { accept: 'application/openmetrics-text; version=1.0.0' } });
  expect(open.headers.get('content-type')).toContain('application/openmetrics-text');
  expect(await open.text()).toContain('trace_id="0af7651916cd43dd8448eb211c80319c"');
});

test('a real Prometheus reads the totals and exemplars, and a kill -9 does not set them back', async () => {
  await collector.kill();
  // The same one after the kill: Prometheus looks for it there.
  const port = String(await freePort());
  collector = await cluster.startCollector('telemetry-collector-1', { TRIVET_METRICS_PORT: port });
  const server = await startPrometheus([`127.0.0.1:${port}`]);
  prometheus = server;
  await publishEverything();
  const orders = () => server.query('sum by (job) (orders_total)');
  await until(orders, (found) => found[0]?.value === 2);
  expect(await orders()).toEqual([{ metric: { job: 'shop' }, value: 2 }]);
  await until(
    () => server.exemplars('traced_total'),
    (found) => JSON.stringify(found).includes('0af7651916cd43dd8448eb211c80319c'),
  );
  await collector.kill();
  const telemetry = createTelemetry(cluster.nats, cluster.subjects, { source: 'shop' });
  await telemetry.counter('orders', 3, { tags: { region: 'eu "north"\n\\' } });
  collector = await cluster.startCollector('telemetry-collector-1', { TRIVET_METRICS_PORT: port });
  await until(orders, (found) => found[0]?.value === 5, 60_000);
  expect(await server.query('resets(orders_total[5m])')).toMatchObject([{ value: 0 }]);
  expect((await server.query('sum(steps_count)'))[0]?.value).toBe(1);
});
