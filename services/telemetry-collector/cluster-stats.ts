import type { CollectorStats } from '#shared/protocol/telemetry-replies.ts';
import { countedKinds } from './core/figures.ts';

/** Figures of several collectors added up; what the stream says is the same from each, so the first one's is taken. */
export function addedStats(parts: readonly CollectorStats[], silent: readonly string[]): CollectorStats {
  const [first, ...others] = parts;
  if (first === undefined) throw new Error('nobody has figures, not even this collector');
  const sum = structuredClone(first);
  for (const one of others) {
    sum.collectors.push(...one.collectors);
    for (const kind of countedKinds) add(sum.kinds[kind], one.kinds[kind]);
    add(sum.reasons, one.reasons);
    const { balanced, ...account } = one.account;
    const { balanced: before, ...own } = sum.account;
    add(own, account);
    sum.account = { ...own, balanced: before && balanced };
    addAccounts(sum.accounts, one.accounts);
    add(sum.held, one.held);
    sum.series += one.series;
    sum.overflow.push(...one.overflow);
    sum.examples = { ...one.examples, ...sum.examples };
    sum.destinations.push(...one.destinations);
    const { p50, p99, max } = one.eventLoopDelayMs;
    const slowest = sum.eventLoopDelayMs;
    sum.eventLoopDelayMs = {
      p50: Math.max(slowest.p50, p50),
      p99: Math.max(slowest.p99, p99),
      max: Math.max(slowest.max, max),
    };
  }
  return silent.length === 0 ? sum : { ...sum, silent: [...silent] };
}

/** A destination of one name is the same in all collectors. */
function addAccounts(into: CollectorStats['accounts'], from: CollectorStats['accounts']): void {
  for (const one of from) {
    const own = into.find(({ destination }) => destination === one.destination);
    if (own === undefined) into.push(one);
    else {
      const { destination: _name, balanced, ...counts } = one;
      own.balanced &&= balanced;
      add(own as unknown as Record<string, number>, counts);
    }
  }
}

function add(into: Record<string, number>, from: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(from)) into[name] = (into[name] ?? 0) + count;
}
