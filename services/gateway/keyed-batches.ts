import { type Result, refuse } from '#shared/protocol/errors.ts';
import type { Clock } from '#shared/runtime/clock.ts';

export interface KeyedBatchesOptions<Item, Reply> {
  readonly clock: Pick<Clock, 'after'>;
  readonly itemsMax: number;
  readonly bytesMax: number;
  /** Sends what belongs to one key: one result an item, in order. */
  readonly send: (key: string, items: readonly Item[]) => Promise<readonly Result<Reply>[]>;
}

interface Waiting<Item, Reply> {
  readonly item: Item;
  readonly bytes: number;
  readonly resolve: (result: Result<Reply>) => void;
  readonly reject: (fault: unknown) => void;
}

interface Line<Item, Reply> {
  waiting: Waiting<Item, Reply>[];
  /** Messages on their way, and the items in the newest of them. */
  sending: number;
  sent: number;
  /** Ends the wait for others, while somebody waits for them. */
  stopWaiting: (() => void) | undefined;
  scheduled: boolean;
}

/** Messages of one key on their way at once: one is answered while the next is put together. */
const sendingMax = 2;

/** Nobody waits longer than this for others to come: the message on its way may be lost. Milliseconds. */
const gatherMsMax = 25;

/**
 * Packs what callers ask of one queue or namespace into few messages: a message is what costs, not what is in it. Who
 * comes alone is sent at the end of the turn of the event loop. While a message is on its way, callers gather until they
 * are as many as it has in it; while two are, until one is answered. So a quiet gateway sends at once, a busy one sends
 * large batches, and nobody waits long for others who do not come.
 * A key is forgotten as soon as nobody waits: names that callers make up take no room.
 */
export class KeyedBatches<Item, Reply> {
  readonly #options: KeyedBatchesOptions<Item, Reply>;
  readonly #lines = new Map<string, Line<Item, Reply>>();

  constructor(options: KeyedBatchesOptions<Item, Reply>) {
    this.#options = options;
  }

  /** @param bytes size of the item on the wire */
  add(key: string, item: Item, bytes: number): Promise<Result<Reply>> {
    let line = this.#lines.get(key);
    if (line === undefined) {
      line = { waiting: [], sending: 0, sent: 0, stopWaiting: undefined, scheduled: false };
      this.#lines.set(key, line);
    }
    const into = line;
    return new Promise((resolve, reject) => {
      into.waiting.push({ item, bytes, resolve, reject });
      this.#schedule(key, into);
    });
  }

  /** `setImmediate` ends the turn after every socket that was readable in it, so many connections share a batch. */
  #schedule(key: string, line: Line<Item, Reply>): void {
    if (line.scheduled) return;
    if (!mayLeave(line)) {
      if (line.sending < sendingMax) this.#waitForOthers(key, line);
      return;
    }
    line.scheduled = true;
    setImmediate(() => {
      line.scheduled = false;
      while (line.waiting.length > 0 && mayLeave(line)) void this.#send(key, line);
      if (line.waiting.length > 0) this.#schedule(key, line);
    });
  }

  #waitForOthers(key: string, line: Line<Item, Reply>): void {
    line.stopWaiting ??= this.#options.clock.after(gatherMsMax, () => {
      line.stopWaiting = undefined;
      line.sent = 0;
      this.#schedule(key, line);
    });
  }

  /** Never rejects: what goes wrong is told to those who wait. */
  async #send(key: string, line: Line<Item, Reply>): Promise<void> {
    const batch = line.waiting.splice(0, this.#fitting(line.waiting));
    line.sending += 1;
    line.sent = batch.length;
    line.stopWaiting?.();
    line.stopWaiting = undefined;
    try {
      const results = await this.#options.send(
        key,
        batch.map(({ item }) => item),
      );
      for (const [index, { resolve }] of batch.entries())
        resolve(
          results[index] ?? refuse('internal', 'the reply of a batch has fewer items than its request'),
        );
    } catch (fault) {
      for (const { reject } of batch) reject(fault);
    }
    line.sending -= 1;
    if (line.waiting.length > 0) this.#schedule(key, line);
    else if (line.sending === 0 && this.#lines.get(key) === line) this.#lines.delete(key);
  }

  /** How many of those who wait go into one message: at least one. */
  #fitting(waiting: readonly Waiting<Item, Reply>[]): number {
    const { itemsMax, bytesMax } = this.#options;
    let bytes = 0;
    let count = 0;
    while (count < waiting.length && count < itemsMax) {
      bytes += waiting[count]?.bytes ?? 0;
      if (count > 0 && bytes > bytesMax) break;
      count += 1;
    }
    return count;
  }
}

const mayLeave = (line: { sending: number; sent: number; waiting: readonly unknown[] }): boolean =>
  line.sending === 0 || (line.sending < sendingMax && line.waiting.length >= line.sent);
