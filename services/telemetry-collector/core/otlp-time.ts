import { type BackwardWriter, fixed64Type } from './protobuf.ts';

// The time that was written last, as nanoseconds in two halves: neighbours mostly share theirs.
const lastTime = { ms: -1, low: 0, high: 0 };

/** Nanoseconds since 1970; OTLP knows no time before it. */
export function writeTime(writer: BackwardWriter, field: number, givenMs: number): void {
  const ms = Math.max(0, givenMs);
  if (ms !== lastTime.ms) {
    const seconds = Math.floor(ms / 1_000);
    const nanos = Math.round((ms - seconds * 1_000) * 1_000_000);
    // seconds · 10⁹ + nanos in two halves of 32 bits: it is beyond what a number holds exactly.
    const lowSeconds = (seconds % 65_536) * 1_000_000_000;
    const highSeconds = Math.floor(seconds / 65_536) * 1_000_000_000;
    const low = lowSeconds + nanos + (highSeconds % 65_536) * 65_536;
    lastTime.ms = ms;
    lastTime.low = low >>> 0;
    lastTime.high = (Math.floor(highSeconds / 65_536) + Math.floor(low / 4_294_967_296)) >>> 0;
  }
  writer.fixed64(lastTime.low, lastTime.high);
  writer.tag(field, fixed64Type);
}
