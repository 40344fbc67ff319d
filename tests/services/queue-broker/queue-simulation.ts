import { decideConfigure } from '#services/queue-broker/core/settings-decisions.ts';
import { decodeFence } from '#services/queue-broker/fact-codec.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { VirtualWorld } from '#tests/support/virtual-world.ts';
import { must } from './must.ts';
import type { ModelItem } from './model-item.ts';
import { QueueModel } from './queue-model.ts';
import { SimulatedClients } from './simulated-clients.ts';
import { Submitted } from './submitted.ts';
import { contents, mustBeEqual, mustFollow } from './table-checks.ts';

/** What a run did, so that a reader sees that it was not idle. */
export interface SimulationFigures {
  readonly items: number;
  readonly records: number;
  readonly takeovers: number;
  /** Records that were truncated. */
  readonly purged: number;
}

/** Small enough that a short run sees items go. */
const retention = { done: { ageMs: 120_000, count: 8 }, failed: { ageMs: 400_000 } };
const queues = ['mail', 'images', 'reports', 'videos'] as const;
/** Whose items have groups, and which is limited now and then. */
const limitedQueue = 'videos';
const groups = ['g1', 'g2', 'g3'] as const;
const keys = ['k1', 'k2', 'k3', 'k4'] as const;
const stepsOfChaos = 300;
/** Longest delay, lease, back-off and timeout of the simulation are all below a minute and a half. */
const drainMsMax = 900_000;
/** How late an owner may be that nothing disturbs. */
const lateMsMax = 100;

/**
 * One life of a partition, from one seed: chaos, then calm.
 * Safety: every record in the log and every answer is held against the model; the rows of each broker and the log
 * read from zero give one table, and it is the model's. Liveness: once the faults stop, every item of a queue that is
 * not paused comes to its end, and no request stays without an answer.
 * Throws the sentence that does not hold.
 */
export async function simulateQueue(seed: number): Promise<SimulationFigures> {
  const run = new Run(seed);
  await run.chaos();
  await run.compareDisks();
  await run.calm();
  return run.figures();
}

class Run {
  readonly #submitted = new Submitted();
  readonly #model = new QueueModel(this.#submitted, retention);
  readonly #world: VirtualWorld;
  readonly #clients: SimulatedClients;
  #payloads = 0;
  #takeovers = 0;

  constructor(seed: number) {
    this.#world = new VirtualWorld({
      seed,
      retention,
      onRecord: (record) => {
        if (record.kind === 'fence' && decodeFence(record.data, record.sequence).renewed !== true)
          this.#takeovers += 1;
        this.#model.take(record);
      },
    });
    this.#clients = new SimulatedClients(this.#world, this.#model, this.#submitted);
  }

  figures(): SimulationFigures {
    const purged = this.#world.stream.describe().firstSequence - 1;
    const items = this.#model.all.size;
    return { items, records: this.#model.sequence, takeovers: this.#takeovers, purged };
  }

  async chaos(): Promise<void> {
    const { random } = this.#world;
    this.#world.brokers[0]?.start();
    await this.#pass(200);
    if (random.chance(0.7)) this.#limit();
    for (let step = 0; step < stepsOfChaos; step += 1) {
      this.#act();
      if (random.chance(0.05)) this.#disturb();
      if (random.chance(0.03)) random.pick(this.#world.brokers).compact();
      // Mostly somebody takes over soon; a world without an owner decides nothing.
      if (random.chance(0.3) && !this.#world.brokers.some(({ partition }) => partition !== undefined))
        random.pick(this.#world.brokers).start();
      await this.#pass(this.#patience());
    }
  }

  /** All processes die; then each disk, and the log alone, must give the same table, and the model's. */
  async compareDisks(): Promise<void> {
    for (const broker of this.#world.brokers) broker.crash();
    const fromLog = await this.#world.recoverCopy(new MemoryStore());
    mustFollow(this.#model, fromLog.table, false);
    const expected = contents(fromLog.table, keys);
    for (const { name, rows } of this.#world.brokers) {
      const fromDisk = await this.#world.recoverCopy(rows);
      mustBeEqual(`the log from zero and disk ${name}`, expected, contents(fromDisk.table, keys));
    }
  }

  /** No more faults: everything that is not paused must come to an end. */
  async calm(): Promise<void> {
    const { clock } = this.#world;
    this.#world.faulty = false;
    const owner = this.#world.random.pick(this.#world.brokers);
    // Late messages of the time of faults may still be under way: whatever they do, a broker tries again.
    for (let tries = 0; tries < 10 && owner.partition === undefined; tries += 1) {
      owner.start();
      await this.#pass(2_000);
    }
    must(owner.partition !== undefined, 'no broker gets the partition though nothing is in its way');
    this.#clients.forgetUnanswered();
    await this.#pass(1_000);
    const dueAt = this.#world.clock.nowMs() - lateMsMax;
    for (const [name, nextAt] of this.#model.schedules.nextSlots)
      must(nextAt > dueAt, `the slot ${nextAt} of ${name} has come and nobody looks at it`);
    const stopped = this.#world.random.chance(0.3) ? this.#world.random.pick(queues) : undefined;
    for (const queue of queues) this.#clients.pause(queue, queue === stopped);
    await this.#pass(50);
    const untilMs = clock.monotonicMs() + drainMsMax;
    while (this.#open(stopped).length > 0 && clock.monotonicMs() < untilMs) await this.#drainSome(stopped);
    const left = this.#open(stopped).map(({ order, state, queue }) => `${order} (${state} in ${queue})`);
    must(left.length === 0, `items come to no end though nothing is in their way: ${left.join(', ')}`);
    // Longer than the longest delay of a repeated request and the longest wait of a dequeue together.
    await this.#pass(85_000);
    must(this.#clients.unanswered === 0, `${this.#clients.unanswered} requests were never answered`);
    const { table } = owner.partition;
    await clock.until(owner.drain());
    mustFollow(this.#model, table, true);
    for (const order of this.#clients.acknowledged)
      must(this.#model.all.has(order), `item ${order} was acknowledged and does not exist`);
    await this.compareDisks();
  }

  /** Items that have not come to their end, in the queues that are not paused. */
  #open(stopped: string | undefined): readonly ModelItem[] {
    const ended = new Set(['done', 'failed', 'cancelled']);
    return [...this.#model.items.values()].filter((item) => item.queue !== stopped && !ended.has(item.state));
  }

  async #drainSome(stopped: string | undefined): Promise<void> {
    const before = this.#clients.held.length;
    for (const queue of queues) {
      if (queue === stopped) continue;
      // A pause of the time before may arrive late, as any request.
      if (this.#model.paused.has(queue)) this.#clients.pause(queue, false);
      this.#clients.dequeue(queue, { max: 5, wait: '1s', lease: '10s' });
    }
    for (const name of this.#model.schedules.nextSlots.keys()) {
      const [queue = '', schedule = ''] = name.split(' ', 2);
      this.#clients.unschedule(queue, schedule);
    }
    await this.#pass(1_200);
    // Not all: some leases must run out by themselves.
    for (const held of this.#clients.held.slice(before))
      if (this.#world.random.chance(0.9)) this.#clients.complete(held);
    await this.#pass(100);
    const [late] = this.#model.overdue(this.#world.clock.nowMs() - lateMsMax);
    must(late === undefined, `item ${late?.order} is still ${late?.state}, its time was over long ago`);
  }

  /** Lets time pass, and stops at the first sentence that does not hold. */
  async #pass(ms: number): Promise<void> {
    await this.#world.clock.advance(ms);
    const [failure] = this.#world.failures;
    if (failure !== undefined) throw failure;
  }

  #patience(): number {
    const { random } = this.#world;
    if (random.chance(0.01)) return random.integer(200_000, 700_000);
    if (random.chance(0.06)) return random.integer(3_000, 40_000);
    return random.chance(0.5) ? 0 : random.integer(0, 60);
  }

  /** One fault, or the end of one. */
  #disturb(): void {
    const { random, brokers } = this.#world;
    const broker = random.pick(brokers);
    if (!brokers.some(({ runs, isPaused }) => runs && !isPaused))
      return broker.isPaused ? broker.wake() : broker.start();
    if (!broker.runs) return broker.start();
    if (broker.isPaused) return random.chance(0.8) ? broker.wake() : broker.crash();
    const dice = random.next01();
    if (dice < 0.4) broker.crash();
    else if (dice < 0.8) broker.pause();
    else if (dice < 0.85) broker.loseDisk();
    else if (dice < 0.88) void this.#world.rot();
    else if (dice < 0.93) void broker.drain();
    else this.#world.stream.intrude();
  }

  /** One thing that a client does. */
  #act(): void {
    const { random } = this.#world;
    const queue = random.pick(queues);
    const dice = random.next01();
    if (dice < 0.27) return this.#clients.enqueue(queue, [this.#newItem(queue)]);
    if (dice < 0.32) {
      const items = Array.from({ length: random.integer(2, 8) }, () => this.#newItem(queue));
      return this.#clients.enqueue(queue, items);
    }
    if (dice < 0.52) return this.#dequeue(queue);
    if (dice < 0.84) return this.#useLease();
    if (dice > 0.985) return this.#schedule('reports');
    if (dice > 0.97) return this.#limit();
    const item = this.#someItem();
    if (item === undefined) return undefined;
    if (dice < 0.86) return this.#clients.cancel(item.queue, item.order);
    if (dice < 0.87) return this.#purge(item);
    if (dice < 0.9) return this.#clients.replay(item.queue, item.order);
    if (dice < 0.93) return this.#clients.reprioritize(item.queue, item.order, random.integer(0, 3));
    if (dice < 0.96) return this.#update(item);
    return this.#clients.pause(queue, random.chance(0.4));
  }

  #purge({ queue, order }: ModelItem): void {
    const { random } = this.#world;
    if (random.chance(0.8)) this.#clients.purge(queue, order);
    else this.#clients.purgeAll(queue, random.integer(1, 12));
  }

  #schedule(queue: string): void {
    const { random } = this.#world;
    const name = random.pick(['tick', 'tock']);
    if (random.chance(0.2)) return this.#clients.unschedule(queue, name);
    return this.#clients.schedule(
      queue,
      name,
      // Slow enough that what is made up for after a long time away does not fill the small log of this world.
      random.pick([45_000, 60_000, 90_000]),
      random.pick(['once', 'skip', 'all']),
    );
  }

  /** Other limits for the queue that has some. */
  #limit(): void {
    const { random } = this.#world;
    const maybe = <T>(make: () => T): T | undefined => (random.chance(0.5) ? make() : undefined);
    const rate = (counts: readonly number[]) => () => ({
      count: random.pick(counts),
      perMs: random.pick([50, 500, 5_000]),
    });
    const settings = {
      concurrency: definedOnly({
        total: maybe(() => random.pick([1, 2, 5])),
        perGroup: maybe(() => random.pick([1, 2])),
      }),
      rateLimit: definedOnly({ total: maybe(rate([2, 3, 7])), perGroup: maybe(rate([1, 2])) }),
    };
    this.#submitted.note('configure', limitedQueue, JSON.stringify(settings));
    this.#clients.plain((turn) => {
      decideConfigure(turn, limitedQueue, settings);
      return { ok: true, value: {} };
    });
  }

  #update({ queue, order }: ModelItem): void {
    const { random } = this.#world;
    this.#clients.update(queue, order, {
      ...(random.chance(0.6) ? { payload: this.#payload() } : {}),
      ...(random.chance(0.5) ? { delay: random.pick([0, 30, 4_000, 30_000]) } : {}),
      ...(random.chance(0.3) ? { maxAttempts: random.integer(1, 5) } : {}),
    });
  }

  /** Small mostly; now and then too large for the item's own row. */
  #payload(): object {
    const { random } = this.#world;
    this.#payloads += 1;
    return { number: this.#payloads, ...(random.chance(0.1) ? { text: 'x'.repeat(3_000) } : {}) };
  }

  #newItem(queue: string) {
    const { random } = this.#world;
    const maybe = (probability: number, fields: () => object) => (random.chance(probability) ? fields() : {});
    return {
      payload: this.#payload(),
      priority: random.pick(['critical', 'high', 'normal', 'normal', 'low']),
      maxAttempts: random.integer(1, 4),
      backoff: random.pick(['fixed:1s', 'exponential:100ms:20s', 'fixed:0ms']),
      ...maybe(0.15, () => ({ expires: random.pick(['100ms', '5s', '20s']) })),
      ...maybe(0.15, () => ({ timeout: random.pick(['50ms', '2s', '5s']) })),
      ...this.#timeAndKey(),
      ...(queue === limitedQueue && random.chance(0.75) ? { group: random.pick(groups) } : {}),
    };
  }

  #timeAndKey(): object {
    const { random, clock } = this.#world;
    const key = random.pick(keys);
    const delay = random.pick(['0ms', '20ms', '2s', '5s', '40s']);
    if (random.chance(0.06)) return { key, onDuplicate: 'debounce', delay };
    const keyed = random.chance(0.25)
      ? { key, ...(random.chance(0.3) ? { onDuplicate: 'replace' } : {}) }
      : {};
    if (random.chance(0.2)) return { ...keyed, delay };
    return random.chance(0.1) ? { ...keyed, runAt: clock.nowMs() + random.integer(-1_000, 40_000) } : keyed;
  }

  #dequeue(queue: string): void {
    const { random } = this.#world;
    const claim = random.chance(0.3) ? `claim-${random.integer(1, 12)}` : undefined;
    const body = {
      max: random.pick([1, 1, 3, 10]),
      wait: random.pick(['0s', '0s', '1s', '20s']),
      lease: random.pick(['100ms', '2s', '5s', '20s']),
    };
    this.#clients.dequeue(queue, body, claim);
  }

  /** Uses a lease: mostly one of the newest, now and then one from long ago. */
  #useLease(): void {
    const { random } = this.#world;
    const { held } = this.#clients;
    if (held.length === 0) return;
    const known = random.chance(0.7) ? held.slice(-4) : held;
    const lease = random.pick(known);
    const dice = random.next01();
    if (dice < 0.4)
      return this.#clients.complete(lease, random.chance(0.3) ? { max: 2, lease: '5s' } : undefined);
    if (dice < 0.6)
      return this.#clients.fail(lease, {
        retry: random.chance(0.8),
        ...(random.chance(0.4) ? { delay: random.integer(0, 9_000) } : {}),
      });
    if (dice < 0.8) return this.#clients.extend(lease, random.pick(['100ms', '2s', '5s', '30s']));
    return this.#clients.release(lease, random.pick([0, 0, 20, 9_000]));
  }

  #someItem() {
    const items = [...this.#model.all.values()];
    return items.length === 0 ? undefined : this.#world.random.pick(items);
  }
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

const definedOnly = <T extends object>(fields: T): Defined<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
