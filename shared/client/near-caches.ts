import { durationMs } from '#shared/protocol/durations.ts';
import { json } from '#shared/protocol/encoding.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { CacheOptions, NearCacheOptions } from './cache-options.ts';
import type { CacheRouting } from './cache-routing.ts';
import { NearCache } from './near-cache.ts';
import type { NearFeed } from './near-feed.ts';
import { requestReply } from './request.ts';

/** Copies that one namespace keeps in this process unless it says otherwise, and at most. */
const entriesMaxDefault = 10_000;
const entriesMaxMax = 10_000_000;

const ttlMsDefault = 60_000;

export interface NearCachesOptions {
  readonly nats: Nats;
  readonly clock: Clock;
  readonly subjects: Subjects;
}

/** The near caches of one client: one for each namespace and encoding, whoever asked first. */
export class NearCaches {
  readonly #options: NearCachesOptions;
  readonly #made = new Map<string, { readonly near: NearCache; readonly stop: () => void }>();
  #ended = false;

  constructor(options: NearCachesOptions) {
    this.#options = options;
  }

  /** The near cache of a namespace; undefined where `near` does not ask for one, or the client was closed. */
  open(
    namespace: string,
    { near = false, encoding = json }: Pick<CacheOptions, 'near' | 'encoding'>,
    routing: CacheRouting,
  ): NearCache | undefined {
    if (near === false || this.#ended) return undefined;
    const name = `${namespace} ${encoding}`;
    const known = this.#made.get(name);
    if (known !== undefined) return known.near;
    const made = this.#make(namespace, near === true ? {} : near, routing);
    this.#made.set(name, made);
    return made.near;
  }

  stop(): void {
    this.#ended = true;
    for (const { stop } of this.#made.values()) stop();
    this.#made.clear();
  }

  #make(namespace: string, options: NearCacheOptions, routing: CacheRouting) {
    const { nats, clock, subjects } = this.#options;
    const { entriesMax = entriesMaxDefault, ttl = ttlMsDefault } = options;
    if (!Number.isInteger(entriesMax) || entriesMax < 1 || entriesMax > entriesMaxMax)
      throw new TrivetError(refuseField('near.entriesMax', `must be 1 to ${entriesMaxMax}`).error);
    const ttlMs = durationMs(ttl);
    if (ttlMs === undefined || ttlMs === 0)
      throw new TrivetError(refuseField('near.ttl', 'must be a duration such as "1m"').error);
    const near = new NearCache({
      entriesMax,
      ttlMs,
      epochOf: (key) => feed?.epochOf(routing.nodeOf(key)),
      isMoving: () => routing.isMoving(),
    });
    let feed: NearFeed | undefined;
    let ended = false;
    const feedOptions = {
      nats,
      clock,
      namespace,
      subject: subjects.cacheEvents(namespace),
      near,
      refresh: () => routing.refresh(),
      ask: (operation: 'configure' | 'missed', body: object) =>
        requestReply(nats, routing.subjectOf(operation, undefined), body, { timeoutMs: 2_000 }),
    };
    // With the schemas, which most programs never need: until it is there, nothing is kept.
    const begin = async (): Promise<void> => {
      const loaded = await import('./near-feed.ts');
      // A connection that has ended has nothing to hear, and refuses to listen: whoever asks for a value is told.
      if (ended || nats.connection.isClosed()) return;
      feed = new loaded.NearFeed(feedOptions);
      feed.start();
    };
    void begin();
    const endMoves = routing.onMove(() => near.keysMoved());
    const stop = () => {
      endMoves();
      ended = true;
      feed?.stop();
    };
    return { near, stop };
  }
}
