import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';

/** Slots come in many small parts, one after the other: what came in this time is told together, in milliseconds. */
const gatherMs = 2_000;

/** Tells the log which slots this node began to answer for: one line where many parts come in a row. */
export function slotNews(clock: Clock, log: Log): (slots: readonly number[], start: 'warm' | 'cold') => void {
  let begun = { warm: 0, cold: 0 };
  const tell = () => {
    log.info(begun, 'this node answers for more slots');
    begun = { warm: 0, cold: 0 };
  };
  return (slots, start) => {
    if (begun.warm + begun.cold === 0) clock.after(gatherMs, tell);
    begun[start] += slots.length;
  };
}
