/**
 * By slot: the version that was drawn when this node began to answer for it, or later. It is above those of all who did
 * before, as all versions in a slot, and below those of all who will.
 */
export class Tenures {
  readonly #draw: () => number;
  readonly #versions = new Map<number, number>();

  /** @param draw gives the next version of this node */
  constructor(draw: () => number) {
    this.#draw = draw;
  }

  /** Draws one for all of these. */
  begin(slots: readonly number[]): void {
    const version = this.#draw();
    for (const slot of slots) this.#versions.set(slot, version);
  }

  of(slots: readonly number[]): ReadonlyMap<number, number> {
    return new Map(slots.map((slot) => [slot, this.#versions.get(slot) ?? 0]));
  }
}
