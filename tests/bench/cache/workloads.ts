import type { Figures, Sample, Workload } from '#tests/bench/measure.ts';
import type { Mix, MixOutcome } from './cache-task.ts';
import { type Comparison, compared } from './compared.ts';
import {
  type Contestant,
  type ContestantStart,
  startBentoMemory,
  startNatsEcho,
  startNatsKv,
  startRedis,
  startTrivet,
  startTrivetPlain,
} from './contestant.ts';

const callers = 200;
const redisName = 'ioredis, auto-pipelining, Redis without persistence';
const kvName = 'NATS KV, bucket in memory';

/** What the workloads have in common: how many calls a round makes, over how many keys. */
export interface Volume {
  readonly calls: number;
  readonly keys: number;
}

const single = (name: string, writes: number, volume: Volume, peer: [string, ContestantStart]): Workload => {
  const [peerName, startPeer] = peer;
  return compared({
    workload: name,
    unit: 'items/s',
    peerName,
    notes: `${callers} callers in one client process, ${volume.keys} keys, 128-byte values, any key alike`,
    keys: volume.keys,
    ours: startTrivet,
    peer: startPeer,
    run: (side, round) => runMix(side, { ...mixOf(volume, round), writes }),
  });
};

export const getBesideRedis = (volume: Volume) => single('get-200', 0, volume, [redisName, startRedis]);
export const getBesideKv = (volume: Volume) => single('get-200-kv', 0, volume, [kvName, startNatsKv]);
export const setBesideRedis = (volume: Volume) => single('set-200', 1, volume, [redisName, startRedis]);
export const setBesideKv = (volume: Volume) => single('set-200-kv', 1, volume, [kvName, startNatsKv]);

const manyBeside = (
  workload: string,
  volume: Volume,
  peer: Pick<Comparison, 'peerName' | 'peer'>,
): Workload =>
  compared({
    workload,
    unit: 'items/s',
    ...peer,
    notes: `keys a second; 10 callers that get 100 keys a call, ${volume.keys} keys, 128-byte values`,
    keys: volume.keys,
    ours: startTrivet,
    run: async (side, round) => {
      const options = { count: volume.calls, callers: 10, keys: volume.keys, size: 100, seed: round };
      return sampleOf(side, volume.calls, () => side.client.run('get-many', options));
    },
    runPeer: (side, round) => runMix(side, mixOf(volume, round)),
  });

/** What a batch gains over a message for each key. */
export const getMany = (volume: Volume): Workload =>
  manyBeside('get-many-100', volume, {
    peerName: `single gets by ${callers} callers, a message each (any NATS client)`,
    peer: startTrivetPlain,
  });

/** What it gains over single gets that the client packs by itself. */
export const getManyBesidePacked = (volume: Volume): Workload =>
  manyBeside('get-many-100-packed', volume, {
    peerName: `single gets by ${callers} callers of our client, which packs them`,
    peer: startTrivet,
  });

export const getSerially = (volume: Volume): Workload =>
  compared({
    workload: 'get-serial',
    unit: 'ms',
    peerName: 'bare NATS request and reply, 128 bytes',
    notes: `one caller, one get at a time; the figure is the p50`,
    keys: volume.keys,
    ours: startTrivet,
    peer: startNatsEcho,
    run: async (side, round) => {
      const sample = await runMix(side, { ...mixOf(volume, round), callers: 1 });
      return { ...sample, value: sample.p50 ?? 0 };
    },
  });

/** Every key is in the near cache before the clock runs. */
const nearHit = (name: string, volume: Volume, peer: Pick<Comparison, 'peerName' | 'peer' | 'notes'>) =>
  compared({
    workload: name,
    unit: 'items/s',
    ...peer,
    keys: volume.keys,
    ours: () => startTrivet({ nearEntriesMax: volume.keys }),
    run: (side, round) => runMix(side, { ...mixOf(volume, round), timed: false }),
  });

export const nearHitBesideBento = (volume: Volume) =>
  nearHit('near-hit', volume, {
    peerName: 'BentoCache memory layer, no serialization',
    peer: startBentoMemory,
    notes: `${callers} callers, all of ${volume.keys} keys are in the process itself`,
  });

export const nearHitBesideRedis = (volume: Volume) =>
  nearHit('near-hit-redis', volume, {
    peerName: redisName,
    peer: startRedis,
    notes: `${callers} callers, all of ${volume.keys} keys are in the process itself, with Redis none`,
  });

/** How often the second client writes what the first one watches. */
const watched = { times: 200, everyMs: 5 };

export const zipf = (volume: Volume): Workload =>
  compared({
    workload: 'zipf-95-5',
    unit: 'items/s',
    peerName: redisName,
    notes:
      `${callers} callers, Zipf 0.99 over ${volume.keys} keys, 95 % reads and 5 % writes, a near cache of 10 % of ` +
      `the keys; staleness: from another process's sending of a write to the first read of it through the near cache`,
    keys: volume.keys,
    ours: () => startTrivet({ nearEntriesMax: volume.keys / 10, other: true }),
    peer: startRedis,
    run: async (side, round) => {
      const options = { ...mixOf(volume, round), writes: 0.05, zipf: 0.99, timed: false };
      const sample = await runMix(side, options);
      if (side.other === undefined) return sample;
      return { ...sample, figures: { ...sample.figures, ...(await staleness(side)) } };
    },
  });

/** While the first client reads what the second one writes. */
async function staleness(side: Contestant): Promise<Figures> {
  const watching = side.client.run('watch', { times: watched.times / 2 });
  await side.other?.run('write', watched);
  const { p50, p99 } = await watching;
  return { 'staleness p50 ms': p50, 'staleness p99 ms': p99 };
}

const mixOf = ({ calls, keys }: Volume, round: number): Mix => ({
  count: calls,
  callers,
  keys,
  writes: 0,
  seed: round,
  timed: true,
});

const runMix = (side: Contestant, options: Mix): Promise<Sample> =>
  sampleOf(side, options.count, () => side.client.run('mix', options));

async function sampleOf(side: Contestant, items: number, work: () => Promise<MixOutcome>): Promise<Sample> {
  const { value, cpu } = await side.withCpu(items, work);
  const { seconds, latencies, nearHitRatio } = value;
  return {
    value: items / seconds,
    ...latencies,
    cpu,
    ...(nearHitRatio === 0 ? {} : { figures: { 'near hit ratio': nearHitRatio } }),
  };
}
