import type { Entry } from './entry.ts';

/** When an entry with that ttl is no longer fresh; a ttl of 0 has no end. */
export const expiryOf = (ttlMs: number, nowMs: number): number => (ttlMs === 0 ? Infinity : nowMs + ttlMs);

/** The expiry of an entry that is used now. */
export const slidExpiry = (entry: Entry, nowMs: number): number =>
  entry.slidingMs === 0 ? entry.expiresAtMs : nowMs + entry.slidingMs;

/**
 * A ttl that is shorter by chance, so that what was set together does not expire together.
 * @param jitter   the largest part that is taken away, in [0, 1)
 * @param random01 uniform in [0, 1)
 * @returns whole milliseconds in [1, ttlMs]; 0 for 0
 */
export const jitteredTtl = (ttlMs: number, jitter: number, random01: number): number =>
  ttlMs === 0 ? 0 : Math.max(1, Math.ceil(ttlMs * (1 - jitter * random01)));

/**
 * Whether an entry that is still fresh should be filled anew already. The chance grows as the end comes nearer and with
 * the time that a fill takes, so that one caller among many begins in time and the others do not.
 * Source: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015 (XFetch).
 * @param beta     0: never; 1: as in the paper; more: earlier
 * @param random01 uniform in [0, 1)
 */
export function isRefreshDue(
  entry: Pick<Entry, 'expiresAtMs' | 'fillMs'>,
  { beta, random01, nowMs }: { readonly beta: number; readonly random01: number; readonly nowMs: number },
): boolean {
  if (beta === 0 || entry.fillMs === 0 || entry.expiresAtMs === Infinity) return false;
  return nowMs - entry.fillMs * beta * Math.log(1 - random01) >= entry.expiresAtMs;
}
