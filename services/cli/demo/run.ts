import { relative } from 'node:path';
import { type Trivet, connect } from '#shared/client/client.ts';
import { requestReply } from '#shared/client/request.ts';
import { TrivetError } from '#shared/protocol/errors.ts';
import type { OperationsReply } from '#shared/protocol/telemetry-replies.ts';
import { sleep, systemClock } from '#shared/runtime/clock.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import type { Analysis } from './analyse.ts';
import { startCluster } from './cluster-process.ts';
import { startFleet, stopFleet } from './fleet.ts';
import { type Job, collectJob } from './job.ts';
import { report } from './report.ts';

const queueName = 'demo';
const workers = 4;
const attempts = 3;
/** Without any progress for this long the demo has failed. */
const stalledMs = 60_000;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** The whole demo. Throws when something did not end as it must. */
export async function runDemo(input: string, scratch: string): Promise<void> {
  const startedMs = systemClock.monotonicMs();
  say('starting a cluster on free ports …');
  const cluster = await startCluster(scratch);
  const trivet = await connect({ url: cluster.nats, name: 'demo', prefix: 'trivet' });
  try {
    const job = await collectJob(input, scratch);
    if (job.files.length === 0) throw new Error(`there are no Markdown files below ${input}`);
    say(
      `${job.files.length} Markdown files below ${input}, and ${job.troubles.length} troubles put in on purpose`,
    );
    await publish(trivet, 'first', [...job.files, ...job.troubles]);
    await job.spoil();
    const fleet = await startFleet(workers, { NATS_URL: cluster.nats, TRIVET_PREFIX: 'trivet' });
    say(`${workers} worker processes count words and look for broken relative links`);
    await untilFinal(trivet, job.files.length + job.troubles.length, 'first pass');
    await publish(trivet, 'second', job.files);
    await untilFinal(trivet, job.files.length * 2 + job.troubles.length, 'second pass');
    await stopFleet(fleet);
    await untilMeasured(trivet, job);
    say(
      await figures(trivet, job, {
        scratch,
        seconds: (systemClock.monotonicMs() - startedMs) / 1_000,
      }),
    );
  } finally {
    await trivet.close();
    await cluster.stop();
  }
}

/** One plain NATS publish a file: what any client in any language can do. */
async function publish(trivet: Trivet, pass: string, paths: readonly string[]): Promise<void> {
  await Promise.all(
    paths.map((path) => {
      const headers = headersOf({
        'Nats-Msg-Id': `${pass}:${path}`.slice(-256),
        'Trivet-Max-Attempts': String(attempts),
        'Trivet-Backoff': 'fixed:300ms',
      });
      return trivet.nats.js.publish(trivet.subjects.jobs(queueName), JSON.stringify({ path }), {
        timeout: 30_000,
        ...(headers === undefined ? {} : { headers }),
      });
    }),
  );
}

/** Waits until `total` items are final, and shows how far they are. */
async function untilFinal(trivet: Trivet, total: number, pass: string): Promise<void> {
  let shown = -1;
  let changedMs = systemClock.monotonicMs();
  for (;;) {
    const { counts } = await trivet.queue(queueName).stats();
    const final = counts.done + counts.failed;
    if (final !== shown) {
      changedMs = systemClock.monotonicMs();
      progress(pass, final, total, counts.retry);
      shown = final;
    }
    if (final >= total) return void (process.stdout.isTTY && say(''));
    if (systemClock.monotonicMs() - changedMs > stalledMs)
      throw new Error(`the ${pass} stands still at ${final} of ${total}`);
    await sleep(systemClock, 100);
  }
}

function progress(pass: string, final: number, total: number, retrying: number): void {
  const text = `${pass}: ${final} of ${total} finished${retrying > 0 ? `, ${retrying} wait for another attempt` : ''}`;
  process.stdout.write(process.stdout.isTTY ? `\r${text.padEnd(72)}` : `${text}\n`);
}

async function operations(trivet: Trivet): Promise<OperationsReply['operations'][number] | undefined> {
  const reply = await requestReply(trivet.nats, trivet.subjects.telemetryQuery('operations'), {
    operation: 'analyse',
  });
  if (!reply.ok) throw new TrivetError(reply.error);
  return (reply.value as OperationsReply).operations.find((one) => one.operation === 'analyse');
}

/** Every attempt has sent one record; the collector has them a moment later. */
async function untilMeasured(trivet: Trivet, job: Job): Promise<void> {
  const expected = job.files.length * 2 + job.troubles.length * attempts;
  const deadline = systemClock.monotonicMs() + stalledMs;
  while (((await operations(trivet))?.count ?? 0) < expected) {
    if (systemClock.monotonicMs() > deadline)
      throw new Error('the telemetry service has not counted every attempt');
    await sleep(systemClock, 100);
  }
}

async function figures(trivet: Trivet, job: Job, run: { scratch: string; seconds: number }): Promise<string> {
  const queue = trivet.queue<{ path: string }, Analysis>(queueName);
  const failed = await queue.list({ state: 'failed', limit: 50 });
  if (failed.items.length !== job.troubles.length)
    throw new Error(`${failed.items.length} items failed, ${job.troubles.length} were meant to`);
  let words = 0;
  let broken = 0;
  let cursor: string | undefined;
  do {
    const page = await queue.list({ state: 'done', limit: 500, ...(cursor === undefined ? {} : { cursor }) });
    for (const item of page.items) {
      const result = item.result as Analysis;
      words += result.words;
      broken += result.broken.length;
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
  return report({
    queue: await queue.stats(),
    retries: failed.items.reduce((sum, item) => sum + item.attempts.length - 1, 0),
    failures: failed.items.map((item) => ({
      path: relative(run.scratch, (item.payload as { path: string }).path),
      error: item.attempts.at(-1)?.error?.message.split(',')[0] ?? 'no error was kept',
      attempts: item.attempt,
    })),
    cache: await trivet.cache('demo').stats(),
    operation: await operations(trivet),
    // Every file was looked at twice.
    words: words / 2,
    broken: broken / 2,
    seconds: run.seconds,
  });
}
