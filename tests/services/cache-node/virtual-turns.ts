import type { Namespace } from '#services/cache-node/core/namespace.ts';
import type { NodeContents } from '#services/cache-node/slot-contents.ts';
import type { Tier } from '#services/cache-node/tier.ts';
import { decideTiered } from '#services/cache-node/tiered-turn.ts';
import { slotOf } from '#shared/protocol/cache-slots.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';
import type { VirtualClock } from '#tests/support/virtual-clock.ts';
import { setOf, valueOf } from './made-namespace.ts';
import type { Answer, Request } from './virtual-callers.ts';
import type { VirtualCluster, VirtualProcess } from './virtual-cluster.ts';

/** A namespace in the memory of a process, and what stands behind it. */
export interface Part {
  readonly namespace: Namespace;
  readonly tier: Tier;
}

/** `partOf`: undefined while the node is in no map. With each membership it is another one. */
type Contents = NodeContents & { partOf(namespace: string): Part | undefined };

export interface VirtualTurnsOptions<Of extends Contents> {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly cluster: VirtualCluster<Of>;
  readonly failed: (error: unknown) => void;
}

const hopsMax = 6;
const reply = new Uint8Array([1]);

/** What `<namespace>/<key>` means. */
export function placeOf(named: string) {
  const at = named.indexOf('/');
  const [namespace, key] = [named.slice(0, at), named.slice(at + 1)];
  return { namespace, key, slot: slotOf(namespace, key) };
}

/** The turn of a request among cache nodes, as `CacheService` has it: routed, sent on or held, decided, answered. */
export class VirtualTurns<Of extends Contents> {
  readonly #options: VirtualTurnsOptions<Of>;

  constructor(options: VirtualTurnsOptions<Of>) {
    this.#options = options;
  }

  /** To any process that listens; frozen ones do. False where there is none. */
  send(request: Request): boolean {
    const there = this.#options.cluster.processes.filter(
      ({ state, node }) => state !== 'ended' && node.id !== undefined,
    );
    if (there.length > 0) this.#deliver(this.#options.random.pick(there), request);
    return there.length > 0;
  }

  #deliver(process: VirtualProcess<Of>, request: Request): void {
    const { clock, random } = this.#options;
    clock.after(random.integer(0, 2), () => {
      process.clock.after(0, () => this.#route(process, request));
    });
  }

  #route(process: VirtualProcess<Of>, request: Request): void {
    const { node, contents } = process;
    if (!node.isInTouch()) return request.answer('refused');
    const { namespace, slot } = placeOf(request.key);
    const route = node.routeOf(slot);
    if (route.kind === 'hold') {
      process.clock.after(20, () => this.#route(process, request));
      return;
    }
    if (route.kind === 'forward' && request.hops < hopsMax) {
      const next = this.#options.cluster.at(route.node);
      if (next !== undefined) this.#deliver(next, { ...request, hops: request.hops + 1 });
      return;
    }
    const part = contents.partOf(namespace);
    if (route.kind !== 'serve' || !node.mayServe() || part === undefined) return request.answer('refused');
    void this.#serve(process, part, request).catch(this.#options.failed);
  }

  async #serve(process: VirtualProcess<Of>, part: Part, request: Request): Promise<void> {
    const { contents, node, clock } = process;
    const { namespace, tier } = part;
    const { action } = request;
    const { key, slot } = placeOf(request.key);
    const isOwner = () => node.mayServe() && contents.partOf(namespace.name) === part;
    let isGone = false;
    let found: Answer = 'refused';
    // What is refused after it was decided may have been done.
    let refusal: Answer = 'refused';
    contents.noteKeys(namespace.name, [key]);
    const decided = await decideTiered({
      tier,
      reads: action === 'set' ? [] : [key],
      startedMs: clock.monotonicMs(),
      owns: () => {
        isGone = node.routeOf(slot).kind !== 'serve';
        if (!isGone) contents.noteKeys(namespace.name, [key]);
        return !isGone && isOwner();
      },
      isOwner,
      decide: () => {
        const nowMs = clock.monotonicMs();
        refusal = 'unheard';
        if (action === 'set') namespace.set(setOf(key, request.value), nowMs);
        if (action === 'delete') namespace.delete(key, nowMs);
        const value = action === 'get' ? valueOf(namespace.get(key, nowMs)) : request.value;
        found = { hit: value !== undefined, value: Number(value ?? 0) };
        return reply;
      },
    });
    if (isGone) this.#route(process, request);
    else request.answer(decided === reply ? found : refusal);
  }
}
