import type { PeerNews } from '#services/cache-node/cluster-node-options.ts';
import { ClusterNode } from '#services/cache-node/cluster-node.ts';
import type { NodeMap } from '#services/cache-node/core/node-map.ts';
import type { FetchReply, FetchRequest, SlotContents } from '#services/cache-node/hand-over.ts';
import type { MapRecord } from '#services/cache-node/map-keeper.ts';
import type { LeaseRecord, Owner } from '#shared/runtime/owner-lease.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';
import { ProcessClock, type VirtualClock } from '#tests/support/virtual-clock.ts';
import type { VirtualContents } from './virtual-contents.ts';

/** What may happen to messages, each as a probability; delays in milliseconds. */
export interface Weather {
  readonly lost: number;
  readonly doubled: number;
  readonly late: number;
  readonly lateMsMax: number;
}

const answerMsMax = 500;

/** A KV bucket: keys that are written over revisions, as nats-server keeps them. */
export class VirtualBucket {
  readonly #values = new Map<string, { value: unknown; revision: number }>();
  #revision = 0;

  /** Everything is gone. */
  lose(): void {
    this.#values.clear();
  }

  /** One key is as it was in a copy. */
  restore(key: string, value: unknown): void {
    this.#revision += 1;
    this.#values.set(key, { value, revision: this.#revision });
  }

  read(key: string): { value: unknown; revision: number } {
    return this.#values.get(key) ?? { value: undefined, revision: 0 };
  }

  write(key: string, value: unknown, revision: number): number | undefined {
    if (this.read(key).revision !== revision) return undefined;
    this.#revision += 1;
    this.#values.set(key, { value, revision: this.#revision });
    return this.#revision;
  }
}

/** One process with its clock, which may be paused or ended, and the cluster node in it. */
export interface VirtualProcess<Contents = VirtualContents> {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly node: ClusterNode;
  readonly contents: Contents;
  /** Where it can be asked: ids of its memberships. */
  readonly ids: Set<string>;
  state: 'running' | 'paused' | 'leaving' | 'ended';
}

export interface ClusterWatcher<Contents = VirtualContents> {
  readonly began: (
    process: VirtualProcess<Contents>,
    slots: readonly number[],
    start: 'warm' | 'cold',
  ) => void;
  readonly entered?: (process: VirtualProcess<Contents>, id: string, filesSince: number) => void;
}

/** `settle`: before a node that leaves is out of the map. */
type AnyContents = SlotContents & { clear(): void; settle?(): Promise<void> };

/** Processes, a bucket and a network with weather, on one virtual clock. */
export class VirtualCluster<Contents extends AnyContents = VirtualContents> {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly bucket = new VirtualBucket();
  readonly processes: VirtualProcess<Contents>[] = [];
  weather: Weather;
  readonly #watcher: ClusterWatcher<Contents>;
  readonly #contentsOf: (name: string, clock: ProcessClock) => Contents;
  #ids = 0;

  constructor(options: {
    clock: VirtualClock;
    random: SeededRandom;
    weather: Weather;
    watcher: ClusterWatcher<Contents>;
    contentsOf: (name: string, clock: ProcessClock) => Contents;
  }) {
    this.clock = options.clock;
    this.random = options.random;
    this.weather = options.weather;
    this.#watcher = options.watcher;
    this.#contentsOf = options.contentsOf;
  }

  start(name: string): VirtualProcess<Contents> {
    // A wall clock that is wrong by up to a minute: nothing may depend on it.
    const clock = new ProcessClock(this.clock, this.random.integer(-60_000, 60_000));
    const contents = this.#contentsOf(name, clock);
    const ids = new Set<string>();
    const process: VirtualProcess<Contents> = {
      name,
      clock,
      contents,
      ids,
      state: 'running',
      node: new ClusterNode({
        name,
        instance: `${name}-${(this.#ids += 1)}`,
        newId: () => `n${(this.#ids += 1)}`,
        clock,
        leaseMs: 2_000,
        returnMs: 4_000,
        mapRecord: this.#mapRecord(clock),
        leaseOf: (node) => this.#leaseOf(node, clock),
        peers: {
          fetch: (node, request) => this.#fetch(node, request, clock),
          tell: (news) => this.#tell(process, news),
        },
        contents,
        events: {
          joined: (id) => void ids.add(id),
          entered: (id, filesSince) => this.#watcher.entered?.(process, id, filesSince),
          left: () => ids.clear(),
          mapChanged: () => undefined,
          began: (slots, start) => this.#watcher.began(process, slots, start),
          // What fails is tried again: that everything comes to an end is asserted.
          failed: () => undefined,
        },
      }),
    };
    this.processes.push(process);
    void process.node.start();
    return process;
  }

  /** The process that listens under an id, unless it has ended. */
  at(id: string): VirtualProcess<Contents> | undefined {
    return this.processes.find((one) => one.state !== 'ended' && one.ids.has(id));
  }

  crash(process: VirtualProcess<Contents>): void {
    process.clock.end();
    process.state = 'ended';
  }

  pause(process: VirtualProcess<Contents>): void {
    process.clock.pause();
    process.state = 'paused';
  }

  wake(process: VirtualProcess<Contents>): void {
    if (process.state !== 'paused') return;
    process.state = 'running';
    process.clock.wake();
  }

  async leave(process: VirtualProcess<Contents>): Promise<void> {
    process.state = 'leaving';
    await process.node.leave(60_000, async () => process.contents.settle?.());
    this.crash(process);
  }

  /** Brings a message to a process, whenever it can hear it; as often as the weather says. */
  send(to: ProcessClock, hear: () => void): void {
    const { lost, doubled } = this.weather;
    if (this.random.chance(lost)) return;
    const copies = this.random.chance(doubled) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1)
      this.clock.after(this.#delayMs(), () => {
        if (!to.hasEnded) to.after(0, hear);
      });
  }

  #delayMs(): number {
    const { late, lateMsMax } = this.weather;
    return this.random.chance(late) ? this.random.integer(1, lateMsMax) : this.random.integer(0, 2);
  }

  #tell(from: VirtualProcess<Contents>, news: PeerNews): void {
    for (const process of this.processes)
      if (process !== from) this.send(process.clock, () => process.node.hear(news));
  }

  #fetch(id: string, request: FetchRequest, caller: ProcessClock): Promise<FetchReply> {
    return this.#asked(caller, (answer) => {
      const process = this.at(id);
      if (process === undefined) return;
      this.send(process.clock, () => {
        if (process.ids.has(id)) void process.node.give(request).then(answer);
      });
    });
  }

  #mapRecord(caller: ProcessClock): MapRecord {
    return {
      read: async () => {
        const { value, revision } = await this.onServer(caller, () => this.bucket.read('map'));
        return { map: value as NodeMap | undefined, revision };
      },
      write: (map, revision) => this.onServer(caller, () => this.bucket.write('map', map, revision)),
    };
  }

  #leaseOf(node: string, caller: ProcessClock): LeaseRecord {
    const key = `node.${node}`;
    return {
      read: async () => {
        const { value, revision } = await this.onServer(caller, () => this.bucket.read(key));
        return { owner: value as Owner | undefined, revision };
      },
      write: (owner, revision) => this.onServer(caller, () => this.bucket.write(key, owner, revision)),
      remove: async (revision) => {
        await this.onServer(caller, () => this.bucket.write(key, undefined, revision));
      },
    };
  }

  /** What is asked of nats-server. */
  onServer<Value>(caller: ProcessClock, act: () => Value): Promise<Value> {
    return this.#asked(caller, (answer) => this.send(new ProcessClock(this.clock), () => answer(act())));
  }

  /** A request that may get lost, and whose answer may get lost; the first answer counts. */
  #asked<Value>(caller: ProcessClock, ask: (answer: (value: Value) => void) => void): Promise<Value> {
    return new Promise((resolve, reject) => {
      caller.after(answerMsMax, () => reject(new Error('no answer')));
      ask((value) => this.send(caller, () => resolve(value)));
    });
  }
}
