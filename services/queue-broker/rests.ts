interface Rest {
  readonly action: () => Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What waits for a moment in which nothing is decided and no record is under way. */
export class Rests {
  #waiting: Rest[] = [];
  #isTaking = false;

  /** False as well while an action is under way. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0 && !this.#isTaking;
  }

  /** Resolves once the action was taken; rejects with its failure, or when the rests end before. */
  add(action: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ action, resolve, reject });
    });
  }

  /** Takes all actions, one after the other. Throws at the first that fails. */
  async take(): Promise<void> {
    this.#isTaking = true;
    try {
      for (let rest = this.#waiting.shift(); rest !== undefined; rest = this.#waiting.shift())
        await takeOne(rest);
    } finally {
      this.#isTaking = false;
    }
  }

  end(): void {
    for (const rest of this.#waiting) rest.reject(new Error('the ownership of the partition has ended'));
    this.#waiting = [];
  }
}

async function takeOne({ action, resolve, reject }: Rest): Promise<void> {
  try {
    await action();
    resolve();
  } catch (error) {
    reject(error);
    throw error;
  }
}
