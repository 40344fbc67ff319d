/** Of 15 claims 8 are critical, 4 high, 2 normal and 1 low, while all bands have items. */
const weights = [8, 4, 2, 1] as const;

/**
 * Whose turn it is among the bands that have items, by weight and evenly mixed: every band gains its weight in credit
 * at each choice, the one with the most credit is chosen and pays what all have gained. No band that has items waits
 * for ever. What was chosen stands in the log; why, nobody needs to know again, so the credits live in memory alone.
 * Source: Sysoev, "smooth weighted round-robin balancing", nginx 1.3.1, 2012.
 */
export class BandTurns {
  readonly #credits = [0, 0, 0, 0];
  #offered: readonly boolean[] = [];

  /** The band whose turn it is, among those with items; -1 when there is none. Asking again changes nothing. */
  next(withItems: readonly boolean[]): number {
    this.#offered = withItems;
    let chosen = -1;
    let most = Number.NEGATIVE_INFINITY;
    for (const [band, weight] of weights.entries()) {
      const credit = (this.#credits[band] ?? 0) + weight;
      if (withItems[band] === true && credit > most) {
        chosen = band;
        most = credit;
      }
    }
    return chosen;
  }

  /** An item of this band was claimed. */
  taken(band: number): void {
    const offered = this.#offered;
    // What a replayed log claims was chosen by somebody else.
    if (offered[band] !== true) return;
    let gained = 0;
    for (const [one, weight] of weights.entries()) {
      if (offered[one] !== true) continue;
      gained += weight;
      this.#credits[one] = (this.#credits[one] ?? 0) + weight;
    }
    this.#credits[band] = (this.#credits[band] ?? 0) - gained;
    this.#offered = [];
  }
}
