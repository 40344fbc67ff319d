import { type IncomingMessage, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { startCache } from './running-cache.ts';

/** A receiver of OTLP that keeps what it got. Names stand in protobuf as they are, so text is enough to look for. */
async function startReceiver() {
  const received: { readonly path: string; readonly text: string }[] = [];
  const http = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ path: request.url ?? '', text: Buffer.concat(chunks).toString('latin1') });
      response.writeHead(200, { 'Content-Type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => {
    http.listen(0, '127.0.0.1', resolve);
  });
  const { port } = http.address() as AddressInfo;
  return { received, endpoint: `http://127.0.0.1:${port}`, stop: () => http.close() };
}

test('a node exports its own metrics, and a span for each request that came with a trace', async () => {
  const receiver = await startReceiver();
  const cache = await startCache({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    OTEL_METRIC_EXPORT_INTERVAL: '200',
    OTEL_BSP_SCHEDULE_DELAY: '100',
  });
  await cache.ask('told', 'set', { key: 'a', value: 1 });
  await cache.send('trivet.cache.told.get', '{"key":"a"}', {
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  });
  await cache.ask('told', 'get', {});
  const exported = (path: string) =>
    receiver.received
      .filter((one) => one.path === path)
      .map((one) => one.text)
      .join('');
  await expect.poll(() => exported('/v1/traces'), { timeout: 10_000 }).toContain('cache get');
  await expect.poll(() => exported('/v1/metrics'), { timeout: 10_000 }).toContain('invalid_request');
  for (const name of ['hits', 'misses', 'evictions', 'expirations', 'entries', 'bytes', 'request.duration'])
    expect(exported('/v1/metrics')).toContain(`trivet.cache.${name}`);
  expect(exported('/v1/metrics')).toContain('trivet-cache');
  await cache.stop();
  receiver.stop();
});
