import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { connect } from '#shared/client/client.ts';
import { startCluster } from '#tests/services/cli/started-cluster.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { type Blow, strike } from './blows.ts';
import { CacheLoad } from './cache-load.ts';
import { QueueLoad } from './queue-load.ts';
import { TelemetryLoad } from './telemetry-load.ts';

export interface ChaosOptions {
  readonly durationMs: number;
  readonly seed: number;
  readonly report?: (line: string) => void;
}

export interface ChaosOutcome {
  readonly blows: readonly Blow[];
  readonly handled: number;
  readonly cacheCalls: number;
  readonly cacheRefused: number;
  readonly increments: number;
  /** Whatever must not be, as sentences. */
  readonly faults: readonly string[];
}

const quietMs = 5_000;
const reportMs = 10_000;

/**
 * The whole cluster as `npm start` brings it up, two processes of each kind, under load from the public client, HTTP
 * and plain publishes; process after process is killed or frozen. Afterwards everything that was acknowledged is looked for.
 */
export async function runChaos({
  durationMs,
  seed,
  report = () => undefined,
}: ChaosOptions): Promise<ChaosOutcome> {
  const random = new SeededRandom(seed);
  const two = ['--brokers', '2', '--caches', '2', '--collectors', '2', '--gateways', '1'];
  const entry = join(process.cwd(), 'services', 'cli', 'start.ts');
  const cluster = await startCluster({ entry, args: two });
  const blows: Blow[] = [];
  try {
    const ready = await cluster.ready();
    const trivet = await connect({ url: ready.nats, name: 'chaos' });
    const queue = new QueueLoad(trivet, ready, random);
    const cache = new CacheLoad(trivet, random);
    const telemetry = new TelemetryLoad(trivet);
    const loads = new AbortController();
    const striking = new AbortController();
    const running = [queue, cache, telemetry].map((load) => load.run(loads.signal));
    const timer = setInterval(() => report(`${blows.length} blows, ${queue.done} items handled`), reportMs);
    const struck = strike(cluster.dir, random, striking.signal, (blow) => {
      blows.push(blow);
      report(`${blow.victim} ${blow.kind}`);
    });
    await Promise.race([delay(durationMs), ...running, struck]);
    striking.abort();
    await struck;
    // What was struck last comes back under load, too.
    await Promise.race([delay(quietMs), ...running]);
    loads.abort();
    await Promise.all(running);
    clearInterval(timer);
    const faults = [...(await queue.audit()), ...cache.faults, ...(await telemetry.audit())];
    await trivet.close({ timeout: '5s' });
    return {
      blows,
      handled: queue.done,
      cacheCalls: cache.calls,
      cacheRefused: cache.refused,
      increments: telemetry.acknowledged,
      faults,
    };
  } catch (error) {
    throw new Error(
      `the run broke off; the end of the cluster's log:\n${cluster.lines.slice(-40).join('\n')}`,
      {
        cause: error,
      },
    );
  } finally {
    await cluster.cleanUp();
  }
}
