/** What the clients of a simulation have asked for: nothing else may happen. */
export class Submitted {
  readonly #asked = new Set<string>();
  readonly #failures = new Map<string, { readonly retry: boolean }[]>();

  note(what: string, ...details: readonly (string | number)[]): void {
    this.#asked.add([what, ...details].join(' '));
  }

  has(what: string, ...details: readonly (string | number)[]): boolean {
    return this.#asked.has([what, ...details].join(' '));
  }

  /** Whether it was asked for with a delay of `delayMs`, or of up to `laterMs` less: never with a longer one. */
  hasDelay(what: readonly (string | number)[], delayMs: number, laterMs: number): boolean {
    const delays = Array.from({ length: laterMs + 1 }, (_, later) => delayMs - later);
    return delays.some(
      (delay) => delay >= 0 && delayMs > 0 === delay > 0 && this.#asked.has([...what, delay].join(' ')),
    );
  }

  noteFailure(order: number, token: number, retry: boolean): void {
    const name = `${order} ${token}`;
    this.#failures.set(name, [...(this.#failures.get(name) ?? []), { retry }]);
  }

  failures(order: number, token: number): readonly { readonly retry: boolean }[] {
    return this.#failures.get(`${order} ${token}`) ?? [];
  }
}
