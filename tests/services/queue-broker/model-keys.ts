import type { Enqueued } from '#services/queue-broker/core/facts.ts';
import { type ModelItem, waits } from './model-item.ts';
import { must } from './must.ts';

/** Which item an idempotency key stands for, and until when. */
export class ModelKeys {
  readonly #keys = new Map<string, { readonly order: number; readonly until: number }>();

  /** The key of an item that comes in: it must be free, or stand for one that waits no longer. */
  take(fact: Enqueued, at: number, items: ReadonlyMap<number, ModelItem>): void {
    if (fact.key === undefined) return;
    const name = `${fact.queue} ${fact.key}`;
    const known = this.#keys.get(name);
    const since = known === undefined || known.until <= at ? undefined : known.order;
    must(since === fact.supersedes, `key ${name} stands for item ${known?.order} and item ${fact.order}`);
    const held = since === undefined ? undefined : items.get(since);
    must(held === undefined || !waits(held), `item ${since} waits and yet lost its key ${name}`);
    must((fact.dedupUntil ?? 0) > at, `key ${name} stands for nothing`);
    this.#keys.set(name, { order: fact.order, until: fact.dedupUntil ?? 0 });
  }

  /** The item is gone: its key is free, unless it stands for another one. */
  free(queue: string, key: string, order: number): void {
    const name = `${queue} ${key}`;
    if (this.#keys.get(name)?.order === order) this.#keys.delete(name);
  }

  /** The queue is no more. */
  forget(queue: string): void {
    for (const name of this.#keys.keys()) if (name.startsWith(`${queue} `)) this.#keys.delete(name);
  }
}
