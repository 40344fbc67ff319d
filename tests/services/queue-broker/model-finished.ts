import type { ModelItem } from './model-item.ts';

export interface ModelRetention {
  readonly done: { readonly ageMs: number; readonly count: number };
  readonly failed: { readonly ageMs: number };
}

/** Finished items, in the order in which they finished. */
export class ModelFinished {
  readonly #retention: ModelRetention;
  #items: ModelItem[] = [];

  constructor(retention: ModelRetention) {
    this.#retention = retention;
  }

  add(item: ModelItem): void {
    this.#items.push(item);
  }

  remove(item: ModelItem): void {
    this.#items = this.#items.filter((one) => one !== item);
  }

  /** Takes out the items of a queue whose retention is over. */
  takeOver(queue: string, at: number): readonly ModelItem[] {
    const { done, failed: failedFor } = this.#retention;
    const here = this.#items.filter((item) => item.queue === queue);
    let kept = here.filter(({ state }) => state !== 'failed').length;
    const over = here.filter((item) => {
      const failed = item.state === 'failed';
      const old = item.finishedAt + (failed ? failedFor.ageMs : done.ageMs) <= at;
      if (!old && (failed || kept <= done.count)) return false;
      if (!failed) kept -= 1;
      return true;
    });
    for (const item of over) this.remove(item);
    return over;
  }
}
