import { Agent } from 'node:http';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rssAnonMiB } from '#tests/bench/process-figures.ts';
import { token } from '#tests/services/gateway/running-gateway.ts';
import { type RunningCluster, startCluster } from '#tests/services/gateway/running-cluster.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { attackHttp } from './http-attack.ts';
import { attackNats } from './nats-attack.ts';

// Random and mutated bytes on every NATS subject and every HTTP route, from a seed. Longer:
// FUZZ_SECONDS=120 FUZZ_SEED=7 npm test -- fuzz

const seconds = Number(process.env['FUZZ_SECONDS'] ?? '15');
const seed = Number(process.env['FUZZ_SEED'] ?? '1');

/** Attackers at once, half of them on either side. */
const attackers = 8;
const faultsShown = 10;
/** What a process may gain after the first third, in MiB: what it was told to keep, and what its heap has not given back. */
const growthMiBMax = 160;

let cluster: RunningCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

test(
  'no bytes on any subject or route crash a process, grow it, or get an answer without a code',
  async () => {
    const { gateway, services } = cluster;
    const { body: document } = await gateway.call('GET', '/openapi.json');
    const routes = Object.entries(document['paths'] as Record<string, object>)
      // A stream does not end, and a signed-out session is not what is tested here.
      .filter(([path]) => path !== '/v1/events')
      .flatMap(([path, item]) => Object.keys(item).map((method) => ({ method: method.toUpperCase(), path })));
    expect(routes.length).toBeGreaterThan(80);
    const agent = new Agent({ keepAlive: true });
    const target = { http: gateway.http, token, agent, routes };
    // As anybody: without the rights of a service.
    const connection = await connect({ servers: gateway.nats.url });
    const processes = [gateway.process, ...services];
    const memory = () => processes.map(({ pid }) => rssAnonMiB(pid) ?? 0);

    const faults: string[] = [];
    let sent = 0;
    const endMs = performance.now() + seconds * 1_000;
    const attack = async (number: number): Promise<void> => {
      const random = new SeededRandom(seed * 1_000 + number);
      while (performance.now() < endMs && faults.length < faultsShown) {
        const fault = await (number % 2 === 0 ? attackNats(connection, random) : attackHttp(target, random));
        sent += 1;
        if (fault !== undefined) faults.push(fault);
      }
    };
    let before: readonly number[] = [];
    const warm = setTimeout(() => {
      before = memory();
    }, seconds * 333);
    await Promise.all(Array.from({ length: attackers }, (_, number) => attack(number)));
    clearTimeout(warm);

    console.log(`${sent} messages and requests in ${seconds} s from seed ${seed}`);
    expect(faults).toEqual([]);
    expect(sent).toBeGreaterThan(seconds * 10);
    for (const one of processes) {
      expect(() => process.kill(one.pid, 0)).not.toThrow();
      expect(one.output()).not.toMatch(
        /unhandled|uncaught|request failed|could not be handled|"level":"fatal"/i,
      );
    }
    for (const [index, now] of memory().entries())
      expect(now - (before[index] ?? 0), `process ${index}`).toBeLessThan(growthMiBMax);
    // And everybody still works.
    const added = await gateway.call('POST', '/v1/queues/afterwards/enqueue', { body: { payload: 1 } });
    expect(added.status).toBe(201);
    const set = { operation: 'set', namespace: 'afterwards', key: 'k', value: 1 };
    expect((await gateway.call('POST', '/cache/operation', { body: set })).status).toBe(200);
    await expect
      .poll(async () => (await gateway.call('GET', '/health/ready')).status, { timeout: 10_000 })
      .toBe(200);
    agent.destroy();
    await connection.close();
  },
  (seconds + 90) * 1_000,
);
