const layoutsMax = 8;

/** Which of a record's number and time comes first; records without a time have the number alone. */
export const numberFirst: number = 0;
export const timeFirst: number = 1;
export const numberAlone: number = 2;

/** Lengths of what stands before, between and behind the number and the time of known records, of the last few kinds. */
export class RecordLayouts {
  length = 0;
  readonly orders = new Int32Array(layoutsMax);
  readonly befores = new Int32Array(layoutsMax);
  readonly betweens = new Int32Array(layoutsMax);
  readonly behinds = new Int32Array(layoutsMax);
  #next = 0;

  note(order: number, before: number, between: number, behind: number): void {
    for (let at = 0; at < this.length; at += 1) {
      const isSameOrder = this.orders[at] === order && this.befores[at] === before;
      if (isSameOrder && this.betweens[at] === between && this.behinds[at] === behind) return;
    }
    const at = this.#next;
    this.orders[at] = order;
    this.befores[at] = before;
    this.betweens[at] = between;
    this.behinds[at] = behind;
    this.#next = (at + 1) % layoutsMax;
    this.length = Math.max(this.length, at + 1);
  }
}
