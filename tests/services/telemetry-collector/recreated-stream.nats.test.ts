import { expect, test, onTestFinished } from 'vitest';
import { createTelemetry } from '#shared/client/telemetry.ts';
import { streamsFor } from '#shared/protocol/subjects.ts';
import { consumerName } from '#services/telemetry-collector/telemetry-stream.ts';
import { CollectorCluster, until } from './running-collector.ts';

test('what comes into a stream that was made anew is counted, though one of its sequence was counted before', async () => {
  const cluster = await CollectorCluster.start();
  onTestFinished(() => cluster.stop());
  const collector = await cluster.startCollector();
  const telemetry = createTelemetry(cluster.nats, cluster.subjects);
  const count = async () => {
    for (let message = 0; message < 5; message += 1) await telemetry.counter('sales');
  };
  const isEmpty = async () => (await cluster.streamMessages()) === 0;
  await count();
  await until(isEmpty, Boolean);

  // As an operator does it, or a restore of NATS without this stream.
  const name = streamsFor('trivet').telemetry;
  const manager = await cluster.service.manager();
  const { config: stream } = await manager.streams.info(name);
  const { config: consumer } = await manager.consumers.info(name, consumerName);
  await manager.streams.delete(name);
  await manager.streams.add(stream);
  await manager.consumers.add(name, consumer);
  await count();

  const hasEnded = () => collector.output().includes('is another one than at the start');
  await until(async () => hasEnded() || (await isEmpty()), Boolean);
  if (hasEnded()) await cluster.startCollector();
  await until(isEmpty, Boolean);
  expect((await cluster.stats()).kinds.metric).toMatchObject({ received: 10, exported: 10 });
});
