import { type CacheEvent, cacheRequests, isCacheOperation } from '#shared/protocol/cache-schemas.ts';
import { type Encoding, encode, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept } from '#shared/protocol/errors.ts';
import { isName } from '#shared/protocol/names.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Msg, type Nats, type Subscription, subscribe } from '#shared/runtime/nats.ts';
import { replyBytes, replyRefusal, requestEncodings } from '#shared/runtime/replies.ts';
import { CacheRounds } from './cache-rounds.ts';
import type { ClusterNode } from './cluster-node.ts';
import { type ClusterTurn, wholeOperations } from './cluster-turn.ts';
import type { LoadOutcome } from './core/fills.ts';
import type { Namespace } from './core/namespace.ts';
import { Namespaces } from './core/namespaces.ts';
import { writeOutcome } from './entry-reply.ts';
import { type Decided, type Request, badAddress, operations } from './operations.ts';
import { ReplyWriter } from './reply-writer.ts';
import { decodeBody } from './request-body.ts';
import type { Arrived } from './sharding.ts';
import type { Tier } from './tier.ts';
import { decideTiered, notMine, notNow, notOwner, whyNotKept } from './tiered-turn.ts';
import { Tiers, type TiersOptions } from './tiers.ts';

/** One answered request, for whoever counts. */
export interface Answered {
  /** One of the protocol's operations, `cluster-stats`, or `unknown`. */
  readonly operation: string;
  readonly refusal: Refusal | undefined;
  readonly startedMs: number;
  readonly endedMs: number;
}

export interface CacheServiceOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
  /** What all namespaces together may hold. */
  readonly bytesMax: number;
  readonly node: Pick<ClusterNode, 'mayServe' | 'isInTouch' | 'versions'>;
  /** Where a request is decided that is not about this node's keys alone. */
  readonly cluster: ClusterTurn;
  readonly observe: (message: Msg, answered: Answered) => void;
  /** Uniform in [0, 1). */
  readonly random01: () => number;
  /** What the hashes of keys are made with; nobody outside the process may guess it. */
  readonly hashSecret: readonly [number, number];
  readonly tiers: Pick<TiersOptions, 'node' | 'log' | 'deadlineMs' | 'bornMs' | 'backends' | 'records'>;
}

/** A request that is to be answered. */
interface Asked extends Arrived {
  /** Of the reply. */
  readonly encoding: Encoding;
  readonly startedMs: number;
}

/** Memory stands in for the backend. */
const degradedHeader = { 'Trivet-Degraded': 'true' } as const;

export const cacheQueueGroup = 'trivet-cache';

const noFields = validator(cacheRequests.stats);

/** The turn of the cache: message in → decode → validate → decide → reply, all in one go, so that no two mix. */
export class CacheService {
  readonly #options: CacheServiceOptions;
  readonly #startMs: number;
  #tiers: Tiers;
  #namespaces: Namespaces;
  /** All slots are given away: who still waits here is told to ask again. */
  #isSettled = false;
  #isStopped = false;
  #subscriptions: readonly Subscription[] = [];
  readonly #rounds: CacheRounds;
  readonly #out = new ReplyWriter();
  /** Writes what waited for a fill is answered with, while `#out` may be in use for the request that filled. */
  readonly #laterOut = new ReplyWriter();

  constructor(options: CacheServiceOptions) {
    this.#options = options;
    this.#startMs = options.clock.nowMs() - options.clock.monotonicMs();
    this.#tiers = this.#newTiers(new Map(), 0);
    this.#namespaces = this.#emptyNamespaces('none');
    this.#rounds = new CacheRounds({
      clock: options.clock,
      namespaces: () => this.#namespaces,
      nowMs: () => this.#nowMs(),
      publish: (namespace, event) => this.#publish(namespace, event),
    });
  }

  get namespaces(): Namespaces {
    return this.#namespaces;
  }

  /** Backends, and the settings of all namespaces. */
  get tiers(): Tiers {
    return this.#tiers;
  }

  /** Wall time that does not jump: what entries expire by. */
  wallMs(monotonicMs: number): number {
    return this.#startMs + monotonicMs;
  }

  /** Reads how the namespaces are configured. */
  async recover(): Promise<void> {
    await this.#tiers.recover();
  }

  /** Begins to answer those who ask any node. */
  begin(): void {
    const { nats, subjects } = this.#options;
    const group = { queue: cacheQueueGroup };
    const ask = (kind: 'stats' | 'map') => (message: Msg) => this.#question(message, kind);
    this.#subscriptions = [
      subscribe(nats, subjects.cacheAll, group, (message) => this.hear(message, 'any')),
      subscribe(nats, subjects.cacheStats, group, ask('stats')),
      subscribe(nats, subjects.cacheMap, group, ask('map')),
    ];
    this.#rounds.start();
  }

  /** Answers those who mean this node, under the id that it has in the map. */
  listenAs(id: string): readonly Subscription[] {
    const { nats, subjects } = this.#options;
    return [subscribe(nats, subjects.cacheNodeAll(id), {}, (message) => this.hear(message, 'node'))];
  }

  /**
   * Begins anew, with nothing in memory.
   * @param epoch       of what comes now
   * @param filesSince  versions up to which what this node's files have is void: others answered for it meanwhile
   */
  enter(epoch: string, filesSince: number): void {
    this.#forget(epoch, filesSince);
    for (const name of this.#tiers.names) {
      const namespace = this.#namespaces.open(name);
      if (namespace.ok) this.#tiers.of(namespace.value);
    }
  }

  /** Forgets what it held: another node may answer for it already. */
  forget(): void {
    this.#forget('none', this.#options.node.versions.newest);
  }

  /** Keeps settings of a namespace for all nodes, and lets them hold here. */
  async configure(name: string, settings: Partial<Namespace['settings']>): Promise<Refusal | undefined> {
    const { opened: namespace, leave } = this.#namespaces.visit(name);
    if (!namespace.ok) return namespace.error;
    const refusal = await this.#tiers.configure(namespace.value, settings);
    if (namespace.value.events.isWaiting) this.#publishEvents(namespace.value);
    leave();
    return refusal;
  }

  /** Takes nothing new of those who ask any node. */
  async drain(): Promise<void> {
    await Promise.all(this.#subscriptions.map((subscription) => subscription.drain()));
    this.#subscriptions = [];
  }

  /** Brings what is on its way to the backends, and closes them, before this node stops to count. */
  async settle(): Promise<void> {
    this.#isSettled = true;
    await this.#tiers.close();
  }

  /** The end: who waits, for a fill or for a key that moves, is told that nothing will come from here. */
  stop(): void {
    this.#isStopped = true;
    this.#rounds.stop();
    this.#options.cluster.release();
    for (const namespace of this.#namespaces.all()) namespace.fills.close();
  }

  stats() {
    return this.#namespaces.stats(this.#nowMs());
  }

  /** Acts on a namespace outside of a request; the events that come of it are told. */
  async within<Value>(
    name: string,
    act: (namespace: Namespace, nowMs: number, tier: Tier | undefined) => Value,
  ): Promise<Result<Value>> {
    const { opened: namespace, leave } = this.#namespaces.visit(name);
    if (!namespace.ok) return namespace;
    const tier = this.#tiers.of(namespace.value);
    tier?.deciding(tier.untilMs(this.#options.clock.monotonicMs()));
    const value = act(namespace.value, this.#nowMs(), tier);
    if (namespace.value.events.isWaiting) this.#publishEvents(namespace.value);
    leave();
    const refusal = tier && (await whyNotKept(tier, this.#ownership()));
    return refusal === undefined ? accept(value) : { ok: false, error: refusal };
  }

  /** A request on a subject that ends with `<namespace>.<operation>`, and the node's id where it means this one. */
  hear(message: Msg, via: Arrived['via'], tokens = this.#tokensOf(message), hops = 0): void {
    const [namespace = '', operation = ''] = tokens;
    const encodings = requestEncodings(message);
    if (encodings.ok && isCacheOperation(operation) && isName(namespace)) {
      this.take({ message, namespace, operation, via, hops, encodings: encodings.value });
      return;
    }
    const refusal = encodings.ok ? badAddress(namespace) : encodings.error;
    replyRefusal(message, refusal, encodings.ok ? encodings.value.reply : json);
    const known = isCacheOperation(operation) ? operation : 'unknown';
    this.#observe(message, known, this.#options.clock.monotonicMs(), refusal);
  }

  /** Takes up a request, or takes it up again after it waited. */
  take(arrived: Arrived): void {
    const startedMs = this.#options.clock.monotonicMs();
    const { message, operation } = arrived;
    const encoding = arrived.encodings.reply;
    const decided = this.#isStopped ? notNow : this.#decide({ ...arrived, encoding, startedMs });
    if (decided === 'elsewhere') return;
    if (decided === 'written') replyBytes(message, this.#out.finish(), encoding);
    else if (decided !== 'later') replyRefusal(message, decided, encoding);
    this.#observe(message, operation, startedMs, typeof decided === 'object' ? decided : undefined);
  }

  #observe(message: Msg, operation: string, startedMs: number, refusal: Refusal | undefined): void {
    const endedMs = this.#options.clock.monotonicMs();
    this.#options.observe(message, { operation, refusal, startedMs, endedMs });
  }

  #decide(asked: Asked): Decided | 'elsewhere' {
    const { message, namespace: name, operation, encodings, via } = asked;
    const { cluster, node } = this.#options;
    // Not even sent on: its caller has given up, and what it did since must not be undone.
    if (!node.isInTouch()) return via === 'node' ? notMine : notNow;
    const decoded = decodeBody(message.data, encodings.request, operation);
    if (!decoded.ok) return decoded.error;
    // An empty body stands for a request without fields.
    const body = decoded.value === undefined ? {} : decoded.value;
    const read = operations[operation].read(body);
    if (!read.ok) return read.error;
    const { keys } = read.value;
    const other = wholeOperations.has(operation)
      ? cluster.whole(asked, body, read.value)
      : cluster.elsewhere(asked, keys, body);
    if (other !== undefined) return other;
    if (!node.mayServe() || !node.versions.hasRoom) return via === 'node' ? notMine : notNow;
    const { opened: namespace, leave } = this.#namespaces.visit(name);
    if (!namespace.ok) return namespace.error;
    const tier = this.#tiers.of(namespace.value);
    cluster.noteKeys(name, keys);
    this.#out.begin(encodings.reply);
    const decided = tier === undefined ? this.#decideIn(namespace.value, read.value, asked) : 'elsewhere';
    leave();
    if (tier === undefined) return decided;
    void this.#answerTiered(asked, { tier, namespace: namespace.value, request: read.value });
    return decided;
  }

  #question(message: Msg, kind: 'stats' | 'map'): void {
    const startedMs = this.#options.clock.monotonicMs();
    const encodings = requestEncodings(message);
    const body = encodings.ok ? decodeBody(message.data, encodings.value.request, kind) : encodings;
    const checked = body.ok ? noFields(body.value === undefined ? {} : body.value) : body;
    if (encodings.ok && checked.ok) this.#options.cluster.question(message, encodings.value, kind);
    const refusal = checked.ok ? undefined : checked.error;
    if (refusal !== undefined) replyRefusal(message, refusal, encodings.ok ? encodings.value.reply : json);
    this.#observe(message, `cluster-${kind}`, startedMs, refusal);
  }

  /** A request on a namespace with a backend, which may have to wait for it before and after its decision. */
  async #answerTiered(
    asked: Asked,
    behind: { readonly tier: Tier; readonly namespace: Namespace; readonly request: Request },
  ): Promise<void> {
    const { encoding, startedMs, via } = asked;
    const { tier, namespace, request } = behind;
    const { cluster } = this.#options;
    const isOwner = this.#ownership();
    let isGone = false;
    const reply = await decideTiered({
      tier,
      reads: request.reads ?? request.keys,
      startedMs,
      owns: () => {
        // The keys may have gone to another node meanwhile, or be about to: what comes into memory of them goes along.
        isGone = !cluster.isMine(asked.namespace, request.keys);
        if (!isGone) cluster.noteKeys(asked.namespace, request.keys);
        return !isGone && isOwner();
      },
      isOwner,
      decide: () => {
        this.#out.begin(encoding);
        const decided = this.#decideIn(namespace, request, asked);
        if (decided === 'later') return undefined;
        // Other requests are decided before this one is answered.
        return decided === 'written' ? Buffer.from(this.#out.finish()) : decided;
      },
    });
    if (isGone) return this.take(asked);
    if (reply === notOwner && via === 'node') return this.#reply(asked, namespace, notMine);
    this.#reply(asked, namespace, reply);
  }

  /** Whether this node may answer, and never lost its keys since. */
  #ownership(): () => boolean {
    const namespaces = this.#namespaces;
    return () => this.#options.node.mayServe() && this.#namespaces === namespaces;
  }

  #reply(
    { message, encoding, operation, startedMs }: Asked,
    { isDegraded }: Namespace,
    reply: Uint8Array | Refusal | undefined,
  ): void {
    if (reply instanceof Uint8Array)
      replyBytes(message, reply, encoding, isDegraded ? degradedHeader : undefined);
    else if (reply !== undefined) replyRefusal(message, reply, encoding);
    this.#observe(message, operation, startedMs, reply instanceof Uint8Array ? undefined : reply);
  }

  #decideIn(namespace: Namespace, request: Request, asked: Asked): Decided {
    const nowMs = this.#nowMs();
    const bytesBefore = namespace.bytes;
    const decided = request.decide({
      namespace,
      nowMs,
      out: this.#out,
      answerLater: (outcome) => this.#answerWaiter(asked, outcome, namespace),
    });
    if (namespace.bytes > bytesBefore) this.#namespaces.keepWithinBytes(nowMs);
    if (namespace.events.isWaiting) this.#publishEvents(namespace);
    const endMs = this.#nowMs();
    if (decided !== 'later') namespace.latency.record(endMs - nowMs, endMs);
    return decided;
  }

  /** One who waited for a fill. Its entry is good only now, so the reply is written at once. */
  #answerWaiter(asked: Asked, outcome: LoadOutcome, namespace: Namespace): void {
    const { message, encoding } = asked;
    // The key has gone to another node, which takes up the waiting with the right.
    if (outcome.kind === 'closed') {
      if (this.#isSettled) replyRefusal(message, notNow, encoding);
      else this.#options.clock.after(0, () => this.take(asked));
      return;
    }
    const out = this.#laterOut.begin(encoding);
    const refusal = writeOutcome(out, outcome);
    const extra = namespace.isDegraded ? degradedHeader : undefined;
    if (refusal === undefined) replyBytes(message, out.finish(), encoding, extra);
    else replyRefusal(message, refusal, encoding);
  }

  /** Before the reply to the request that they are of. */
  #publishEvents(namespace: Namespace): void {
    for (const event of namespace.events.take()) this.#publish(namespace.name, event);
  }

  #publish(namespace: string, event: CacheEvent): void {
    const { nats, subjects } = this.#options;
    nats.connection.publish(subjects.cacheEvents(namespace), encode(event, json));
  }

  /** Those behind `<prefix>.cache`. */
  #tokensOf(message: Msg): readonly string[] {
    const [, ...tokens] = message.subject.slice(this.#options.subjects.prefix.length + 1).split('.');
    return tokens;
  }

  #nowMs(): number {
    return this.wallMs(this.#options.clock.monotonicMs());
  }

  #forget(epoch: string, since: number): void {
    const former = this.#namespaces;
    void this.#tiers.abandon();
    this.#tiers = this.#newTiers(this.#tiers.kept, since);
    this.#namespaces = this.#emptyNamespaces(epoch);
    for (const namespace of former.all()) namespace.fills.close();
  }

  #emptyNamespaces(epoch: string): Namespaces {
    const { bytesMax, node, random01, hashSecret } = this.#options;
    const settingsOf = (namespace: string) => this.#tiers.settingsOf(namespace);
    return new Namespaces({ versions: node.versions, bytesMax, epoch, random01, hashSecret, settingsOf });
  }

  #newTiers(kept: Tiers['kept'], ownSince: number): Tiers {
    return new Tiers({
      ...this.#options.tiers,
      clock: this.#options.clock,
      nowMs: () => this.#nowMs(),
      versions: this.#options.node.versions,
      kept,
      isMine: (namespace, key) => this.#options.cluster.isMine(namespace, [key]),
      ownSince,
      changed: (namespace) => this.#publishEvents(namespace),
    });
  }
}
