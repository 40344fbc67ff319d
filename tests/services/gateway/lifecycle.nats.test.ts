import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, expect, test } from 'vitest';
import { streamsFor } from '#shared/protocol/subjects.ts';
import { natsEnvironment, startService } from '#tests/support/service-process.ts';
import { startNatsServer } from '#tests/support/nats-server.ts';
import { startCluster } from './running-cluster.ts';
import { type RunningGateway, startGateway, token } from './running-gateway.ts';

// How a gateway begins and ends, and how it lives without NATS.

let gateway: RunningGateway | undefined;
afterEach(async () => {
  await gateway?.stop();
  gateway = undefined;
});

test('a gateway that drains answers who waits, takes nobody new and ends with 0', async () => {
  gateway = await startGateway();
  const asked = Promise.withResolvers<void>();
  gateway.connection.subscribe('trivet.queue.mails.dequeue', {
    callback: (_error, message) => {
      asked.resolve();
      setTimeout(() => message.respond(JSON.stringify({ items: [] })), message.json<{ wait: number }>().wait);
    },
  });
  await gateway.connection.flush();
  const waiting = gateway.call('GET', '/queue/mails/dequeue?wait=60s');
  await asked.promise;
  const stopped = gateway.process.stop();
  const answer = await waiting;
  expect(answer.status).toBe(204);
  expect(answer.headers.get('connection')).toBe('close');
  expect(await stopped).toBe(0);
  await expect(gateway.call('GET', '/health/live')).rejects.toThrow('fetch failed');
});

test('an idle connection does not hold up the end', async () => {
  gateway = await startGateway();
  const agent = new Agent({ keepAlive: true });
  await new Promise<void>((resolve, reject) => {
    request(`${gateway?.http}/health/live`, { agent }, (response) => {
      response.resume().on('end', resolve);
    })
      .on('error', reject)
      .end();
  });
  const startedMs = performance.now();
  expect(await gateway.process.stop()).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(3_000);
  agent.destroy();
});

test('without NATS the gateway stays, says so, and serves again when NATS is back', async () => {
  gateway = await startGateway();
  const ready = () => gateway?.call('GET', '/health/ready');
  gateway.nats.kill();
  await expect.poll(async () => (await ready())?.body['missing'], { timeout: 20_000 }).toBe('nats');
  expect((await gateway.call('GET', '/health/live')).status).toBe(200);
  await gateway.nats.restart();
  const services = 'trivet-queue, trivet-cache, trivet-telemetry';
  await expect.poll(async () => (await ready())?.body['missing'], { timeout: 20_000 }).toBe(services);
});

test('where no broker serves the gateway is not ready, though one lives', async () => {
  const cluster = await startCluster();
  try {
    const ready = () => cluster.gateway.call('GET', '/health/ready');
    expect((await ready()).status).toBe(200);
    const manager = await jetstreamManager(cluster.gateway.connection);
    for (let partition = 0; partition < 4; partition += 1)
      await manager.streams.delete(streamsFor('trivet').log(partition));
    // The log takes nothing any more, which shows as soon as there is something to take.
    cluster.gateway.connection.publish('trivet.queue.stuck.enqueue', '{"payload":1}');
    await expect.poll(async () => (await ready()).body['missing'], { timeout: 20_000 }).toBe('trivet-queue');
    expect((await cluster.gateway.connection.request('$SRV.PING.trivet-queue')).json()).toMatchObject({
      name: 'trivet-queue',
    });
  } finally {
    // It would wait for its log.
    await cluster.services[0]?.kill();
    await cluster.stop();
  }
}, 60_000);

test('the gateway answers the NATS service protocol', async () => {
  gateway = await startGateway({ TRIVET_NAME: 'gateway-7' });
  const reply = await gateway.connection.request('$SRV.PING.trivet-gateway');
  expect(reply.json()).toMatchObject({ name: 'trivet-gateway', metadata: { process: 'gateway-7' } });
});

test('requests are measured and traced over OTLP, as children of the caller who sent a trace context', async () => {
  const posted = new Map<string, Buffer>();
  const receiver = createServer((incoming, outgoing) => {
    const keep = async () => {
      posted.set(incoming.url ?? '', await buffer(incoming));
      outgoing.setHeader('content-type', 'application/x-protobuf').end();
    };
    void keep();
  });
  await new Promise<void>((resolve) => {
    receiver.listen(0, '127.0.0.1', resolve);
  });
  const { port } = receiver.address() as AddressInfo;
  gateway = await startGateway({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
  const asked = Promise.withResolvers<string>();
  gateway.connection.subscribe('trivet.queue.stats', {
    callback: (_error, message) => {
      asked.resolve(message.headers?.get('traceparent') ?? '');
      message.respond('{"queues":[]}');
    },
  });
  await gateway.connection.flush();
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const headers = { traceparent: `00-${trace}-00f067aa0ba902b7-01` };
  expect((await gateway.call('GET', '/queue/stats', { headers })).status).toBe(200);
  // What goes on is the gateway's own span in the caller's trace.
  expect(await asked.promise).toMatch(new RegExp(`^00-${trace}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`));
  await gateway.process.stop();
  expect(posted.get('/v1/metrics')?.includes('http.server.request.duration')).toBe(true);
  expect(posted.get('/v1/traces')?.includes('GET /queue/stats')).toBe(true);
  expect(posted.get('/v1/traces')?.includes(Buffer.from(trace, 'hex'))).toBe(true);
  receiver.close();
});

test('no request writes a log line, and no log line holds the token', async () => {
  gateway = await startGateway();
  const before = gateway.process.output();
  await gateway.call('GET', '/queue/stats');
  await gateway.call('GET', '/nowhere');
  await pause(100);
  expect(gateway.process.output()).toBe(before);
  await gateway.process.stop();
  expect(gateway.process.output()).not.toContain(token);
});

test('a gateway without a token ends at once and says which setting is missing', async () => {
  const nats = await startNatsServer();
  try {
    const started = startService('gateway', { ...natsEnvironment(nats), TRIVET_HTTP_PORT: '0' });
    await expect(started).rejects.toThrow(/ended with 2[^]*TRIVET_TOKEN is missing/);
  } finally {
    await nats.stop();
  }
});
