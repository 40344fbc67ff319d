import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { type OtlpReceiver, startOtlpReceiver } from '#tests/support/otlp-receiver.ts';
import { CollectorCluster } from './running-collector.ts';

export interface TwoReceivers {
  readonly cluster: CollectorCluster;
  readonly first: OtlpReceiver;
  readonly second: OtlpReceiver;
  readonly folder: string;
  /** Of the pipelines, in `folder`; not written yet. */
  readonly file: string;
}

/** For each test of the file a cluster of its own, two receivers, and a folder with a place for pipelines. */
export function eachWithTwoReceivers(begin: (running: TwoReceivers) => void): void {
  let running: TwoReceivers | undefined;
  beforeEach(async () => {
    const [first, second, cluster, folder] = await Promise.all([
      startOtlpReceiver(),
      startOtlpReceiver(),
      CollectorCluster.start(),
      mkdtemp(join(tmpdir(), 'trivet-pipelines-')),
    ]);
    running = { cluster, first, second, folder, file: join(folder, 'pipelines.json') };
    begin(running);
  });
  afterEach(async () => {
    if (running === undefined) return;
    const { cluster, first, second, folder } = running;
    running = undefined;
    await cluster.stop();
    await Promise.all([first.stop(), second.stop(), rm(folder, { recursive: true })]);
  });
}

/** Replaced at once, as a careful editor does it. */
export async function replaceFile(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}
