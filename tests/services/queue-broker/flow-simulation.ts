import { SeededRandom } from '#tests/support/seeded-random.ts';
import { FlowModel } from './flow-model.ts';
import { FlowWorld } from './flow-world.ts';
import { must } from './must.ts';

/** What a run did, so that a reader sees that it was not idle. */
export interface FlowFigures {
  readonly flows: number;
  readonly items: number;
  readonly crashes: number;
}

/** Over three partitions. */
const queues = ['top', 'mid', 'a', 'sum', 'c'] as const;
const stepsOfChaos = 40;
/** Longer than everything together that an outbox waits for before it tries again. */
const settledMs = 12_000;
const roundsOfCalm = 60;
const leaseMs = 200;

interface Taken {
  readonly id: string;
  readonly token: number;
  readonly payload: string;
}

/**
 * Flows over several partitions from one seed: drawn trees, workers that fail and vanish, cancelling, replays and
 * purges, and a process that dies at drawn steps, now and then with all its rows.
 * Safety: every fact is held against the model, as it becomes durable: nothing of a flow is begun while a part of it
 * is missing, no parent is let go before its children, nothing is made twice. Liveness: once the faults stop, all
 * that is left open waits for a child that came to no good end, and is gone once it is cancelled; nothing is left over.
 * Throws the sentence that does not hold.
 */
export async function simulateFlows(seed: number): Promise<FlowFigures> {
  const run = new Run(seed);
  await run.chaos();
  await run.calm();
  return run.figures();
}

class Run {
  readonly #random: SeededRandom;
  readonly #world: FlowWorld;
  readonly #model = new FlowModel();
  readonly #crashes: readonly number[];
  #facts = 0;
  #flows = 0;
  #isCalm = false;

  constructor(seed: number) {
    const random = new SeededRandom(seed);
    this.#random = random;
    const crashes = random.chance(0.2) ? 0 : random.integer(1, 8);
    this.#crashes = Array.from({ length: crashes }, () => random.integer(1, 250));
    this.#world = new FlowWorld({
      crashes: this.#crashes,
      disksAreLost: random.chance(0.3),
      latencyMs: random.pick([1, 1, 5, 25]),
      keeps: random.chance(0.8),
    });
  }

  figures(): FlowFigures {
    const crashes = this.#crashes.filter((step) => step <= this.#world.steps).length;
    return { flows: this.#flows, items: this.#model.items.size, crashes };
  }

  async chaos(): Promise<void> {
    await this.#world.start();
    for (let step = 0; step < stepsOfChaos; step += 1) {
      await this.#act();
      this.#look();
    }
  }

  async calm(): Promise<void> {
    this.#isCalm = true;
    this.#world.full.clear();
    await this.#pass(settledMs);
    for (let round = 0; round < roundsOfCalm && this.#stuck().length > 0; round += 1) {
      for (const queue of queues) await this.#work(queue);
      await this.#pass(leaseMs);
    }
    await this.#pass(settledMs);
    const stuck = this.#stuck().map(({ id, state, queue }) => `${id} (${state} in ${queue})`);
    must(stuck.length === 0, `items come to no end though nothing is in their way: ${stuck.join(', ')}`);
    for (const { id, queue, parent } of this.#model.open)
      if (parent === undefined) await this.#world.ask('cancel', queue, { id, children: true });
    // A branch whose parent was purged is reached from its own top alone.
    for (const { id, queue } of this.#model.open)
      await this.#world.ask('cancel', queue, { id, children: true });
    await this.#pass(settledMs);
    const open = this.#model.open.map(({ id, state }) => `${id} (${state})`);
    must(open.length === 0, `items are still there after all was cancelled: ${open.join(', ')}`);
    this.#model.mustBeWhole();
    must(this.#world.auditor.open === 0, `${this.#world.auditor.open} flows are still being made`);
    const faults = this.#world.auditor.faults();
    must(faults.length === 0, faults.join('; '));
    const left = await this.#world.records(['flow/', 'flow-member/', 'flow-ending/', 'flow-cascade/']);
    must(left.length === 0, `nothing is to be done, and this is kept for it: ${left.join(', ')}`);
  }

  /** Items that are open, and not because of a child that came to no good end. */
  #stuck() {
    return this.#model.open.filter((item) => !this.#model.waitsForGood(item));
  }

  /** One thing that somebody does. */
  async #act(): Promise<void> {
    const random = this.#random;
    const dice = random.next01();
    if (dice < 0.22) return this.#begin();
    if (dice < 0.72) return this.#work(random.pick(queues));
    if (dice < 0.76) return this.#flood();
    const item = this.#someItem();
    if (dice < 0.88 || item === undefined)
      return this.#pass(random.integer(0, random.chance(0.1) ? 3_000 : 60));
    const { id, queue } = item;
    if (dice < 0.92)
      return void (await this.#world.ask('cancel', queue, { id, children: random.chance(0.7) }));
    if (dice < 0.97) return void (await this.#world.ask('replay', queue, { id }));
    return void (await this.#world.ask('purge', queue, { id }));
  }

  async #begin(): Promise<void> {
    const random = this.#random;
    const { queue, ...root } = this.#tree(1);
    const key = random.chance(0.2) ? { key: `key-${random.integer(1, 3)}` } : {};
    this.#flows += 1;
    await this.#world.ask('enqueue-flow', queue, { ...root, ...key });
  }

  #tree(level: number): { readonly queue: string } & Readonly<Record<string, unknown>> {
    const random = this.#random;
    const isParent = level === 1 || (level < 4 && random.chance(0.35));
    const children = isParent
      ? Array.from({ length: random.integer(1, 3) }, () => this.#tree(level + 1))
      : undefined;
    return {
      queue: random.pick(queues),
      payload: random.pick(['done', 'done', 'done', 'failed', 'retry', 'vanish']),
      priority: random.pick(['high', 'normal', 'low']),
      maxAttempts: random.integer(1, 3),
      backoff: 'fixed:20ms',
      ...(random.chance(0.2) ? { delay: random.pick(['10ms', '300ms']) } : {}),
      ...(random.chance(0.05) ? { expires: random.pick(['100ms', '2s']) } : {}),
      ...(children === undefined
        ? {}
        : { children, onChildFailure: random.pick(['fail', 'continue', 'wait']) }),
    };
  }

  /** Takes what is ready in a queue and does what it says. */
  async #work(queue: string): Promise<void> {
    const max = this.#isCalm ? 20 : this.#random.integer(1, 6);
    const heard = await this.#world.ask('dequeue', queue, { max, lease: leaseMs });
    this.#look();
    const { items = [] } = (heard.value ?? {}) as { items?: readonly Taken[] };
    for (const { id, token, payload } of items) {
      const does = this.#isCalm ? 'done' : (JSON.parse(payload) as string);
      const error = { message: 'meant to fail' };
      if (does === 'done') await this.#world.ask('complete', queue, { id, token, result: id });
      else if (does !== 'vanish')
        await this.#world.ask('fail', queue, { id, token, error, retry: does === 'retry' });
    }
  }

  /** A log has no room, or has some again. */
  async #flood(): Promise<void> {
    const { full } = this.#world;
    if (full.size > 0) full.clear();
    else full.add(this.#random.integer(0, 2));
    return this.#pass(this.#random.integer(0, 200));
  }

  async #pass(ms: number): Promise<void> {
    await this.#world.pass(ms);
    this.#look();
  }

  /** Holds what has become durable since against the model. */
  #look(): void {
    const { facts, losses } = this.#world;
    for (const { partition, fact } of facts.slice(this.#facts)) this.#model.take(partition, fact);
    this.#facts = facts.length;
    const [loss] = losses;
    if (loss !== undefined) throw new Error('a partition was lost', { cause: loss });
  }

  #someItem() {
    const items = [...this.#model.items.values()];
    return items.length === 0 ? undefined : this.#random.pick(items);
  }
}
