/** Keys that it remembers; those that it forgot are written once more than needed. */
const keysMax = 100_000;

/**
 * By how much the ends of sliding entries have moved since the backend was told. A hit moves the end by little, so it is
 * told only every eighth of the ttl: after a restart such an entry may end by that much too early, never too late.
 */
export class SlidEnds {
  readonly #toldMs = new Map<string, number>();

  isWorthWriting(key: string, expiresAtMs: number, slidingMs: number): boolean {
    const told = this.#toldMs.get(key);
    if (told !== undefined && Math.abs(expiresAtMs - told) < slidingMs / 8) return false;
    this.#toldMs.delete(key);
    this.#toldMs.set(key, expiresAtMs);
    if (this.#toldMs.size > keysMax) this.#forgetOldest();
    return true;
  }

  #forgetOldest(): void {
    for (const key of this.#toldMs.keys()) {
      this.#toldMs.delete(key);
      return;
    }
  }
}
