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

  noteFailure(order: number, token: number, retry: boolean): void {
    const name = `${order} ${token}`;
    this.#failures.set(name, [...(this.#failures.get(name) ?? []), { retry }]);
  }

  failures(order: number, token: number): readonly { readonly retry: boolean }[] {
    return this.#failures.get(`${order} ${token}`) ?? [];
  }
}
