/** Buckets for each doubling: a figure is at most an eighth off. */
const perDoubling = 8;
const doublings = 24;
const unitMs = 0.001;
/** How long one half counts: figures are of the last one to two of these. */
const halfMs = 60_000;

/**
 * Percentiles of durations over the last one to two minutes, in two halves of fixed size that take turns. Buckets grow
 * with the value, from a microsecond to some seconds.
 */
export class LatencyHistogram {
  #now = new Uint32Array(perDoubling * doublings);
  #before = new Uint32Array(perDoubling * doublings);
  #turnAtMs = 0;

  /** @param nowMs of the same clock with each call */
  record(durationMs: number, nowMs: number): void {
    this.#turn(nowMs);
    const bucket = bucketOf(durationMs);
    this.#now[bucket] = (this.#now[bucket] ?? 0) + 1;
  }

  /** Upper bounds of the asked shares (0 to 1), in milliseconds; 0 when nothing was recorded. */
  percentiles(shares: readonly number[], nowMs: number): number[] {
    this.#turn(nowMs);
    let count = 0;
    for (let bucket = 0; bucket < this.#now.length; bucket += 1) count += this.#at(bucket);
    return shares.map((share) => this.#percentile(count === 0 ? 0 : Math.ceil(share * count)));
  }

  #percentile(rank: number): number {
    if (rank === 0) return 0;
    let seen = 0;
    for (let bucket = 0; bucket < this.#now.length; bucket += 1) {
      seen += this.#at(bucket);
      if (seen >= rank) return upperMs(bucket);
    }
    return upperMs(this.#now.length - 1);
  }

  #at(bucket: number): number {
    return (this.#now[bucket] ?? 0) + (this.#before[bucket] ?? 0);
  }

  #turn(nowMs: number): void {
    if (nowMs < this.#turnAtMs) return;
    const passed = nowMs >= this.#turnAtMs + halfMs;
    [this.#before, this.#now] = [this.#now, this.#before];
    this.#now.fill(0);
    if (passed) this.#before.fill(0);
    this.#turnAtMs = nowMs + halfMs;
  }
}

function bucketOf(durationMs: number): number {
  const units = Math.max(1, durationMs / unitMs);
  return Math.min(perDoubling * doublings - 1, Math.floor(Math.log2(units) * perDoubling));
}

const upperMs = (bucket: number): number =>
  Math.round(2 ** ((bucket + 1) / perDoubling) * unitMs * 10_000) / 10_000;
