/** A promise that is resolved from outside. */
export interface Deferred<Value = void> {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
}

export function deferred<Value = void>(): Deferred<Value> {
  const { promise, resolve } = Promise.withResolvers<Value>();
  return { promise, resolve };
}
