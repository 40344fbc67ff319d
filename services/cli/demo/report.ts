import type { CacheStats } from '#shared/protocol/cache-schemas.ts';
import type { QueueStats } from '#shared/protocol/queue-schemas.ts';
import type { OperationsReply } from '#shared/protocol/telemetry-replies.ts';

export interface DemoFigures {
  readonly queue: QueueStats;
  readonly retries: number;
  readonly failures: readonly { readonly path: string; readonly error: string; readonly attempts: number }[];
  readonly cache: CacheStats;
  readonly operation: OperationsReply['operations'][number] | undefined;
  readonly words: number;
  readonly broken: number;
  readonly seconds: number;
}

/** The table that the demo ends with. Pure. */
export function report(figures: DemoFigures): string {
  const { queue, cache, operation } = figures;
  const states = Object.entries(queue.counts).filter(([, count]) => count > 0);
  const ms = (value: number | undefined): string => (value === undefined ? '–' : `${value.toFixed(1)} ms`);
  const rows: readonly (readonly [string, string])[] = [
    ...states.map(([state, count]) => [`items ${state}`, String(count)] as const),
    ['retries', String(figures.retries)],
    ['cache hit rate', `${(cache.hitRate * 100).toFixed(1)} % (${cache.hits} hits, ${cache.misses} misses)`],
    ['analyse p50 / p99', `${ms(operation?.durationMs.p50)} / ${ms(operation?.durationMs.p99)}`],
    [
      'analyse success',
      operation === undefined ? '–' : `${(operation.successRate * 100).toFixed(2)} % of ${operation.count}`,
    ],
    ['words, broken links', `${figures.words.toLocaleString('en')}, ${figures.broken.toLocaleString('en')}`],
    ['time', `${figures.seconds.toFixed(1)} s`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const line = '─'.repeat(width + 36);
  return [
    line,
    ...rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`),
    line,
    '  What failed, as it was meant to:',
    ...figures.failures.map(({ path, error, attempts }) => `    ${path}: ${error} (${attempts} attempts)`),
    '  This cluster has ended. On one that stays up (npm start) you would look here:',
    '    npx trivet stats <queue> · npx trivet list <queue> --state failed · npx trivet cache stats <namespace>',
    '    npx trivet telemetry operations · /metrics and /openapi.json of the gateway',
  ].join('\n');
}
