import { type CacheEvent, cacheRequests, isCacheOperation } from '#shared/protocol/cache-schemas.ts';
import { type Encoding, encode, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { cacheExpiredPerStepMax, cacheHeartbeatMs, cacheKeysPageBytesMax } from '#shared/protocol/limits.ts';
import { isName } from '#shared/protocol/names.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Msg, type Nats, type Subscription, subscribe } from '#shared/runtime/nats.ts';
import {
  type RequestEncodings,
  replyBytes,
  replyRefusal,
  requestEncodings,
} from '#shared/runtime/replies.ts';
import type { BackendPage } from './backend.ts';
import type { KeysCommand } from './core/commands.ts';
import type { LoadOutcome } from './core/fills.ts';
import type { Namespace } from './core/namespace.ts';
import type { NamespaceSettings } from './core/namespace-settings.ts';
import { Namespaces } from './core/namespaces.ts';
import { writeOutcome } from './entry-reply.ts';
import { type Decided, type Request, operations } from './operations.ts';
import { ReplyWriter } from './reply-writer.ts';
import { decodeBody } from './request-body.ts';
import type { Tier } from './tier.ts';
import { decideTiered } from './tiered-turn.ts';
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
  /** Whether this node owns the cache at this very moment. */
  readonly owns: () => boolean;
  readonly observe: (message: Msg, answered: Answered) => void;
  /** Names a run of this node; another one with each call. */
  readonly newEpoch: () => string;
  /** Uniform in [0, 1). */
  readonly random01: () => number;
  /** What the hashes of keys are made with; nobody outside the process may guess it. */
  readonly hashSecret: readonly [number, number];
  readonly tiers: Pick<TiersOptions, 'node' | 'log' | 'deadlineMs' | 'backends' | 'records'>;
}

/** A request that is to be answered. */
interface Asked {
  readonly message: Msg;
  /** Of the reply. */
  readonly encoding: Encoding;
  readonly startedMs: number;
}

/** Memory stands in for the backend. */
const degradedHeader = { 'Trivet-Degraded': 'true' } as const;

export const cacheQueueGroup = 'trivet-cache';

const noFields = validator(cacheRequests.stats);

/** How often expired entries are looked for, in milliseconds, when the last look left none. */
const expiryPeriodMs = 100;

/** The turn of the cache: message in → decode → validate → decide → reply, all in one go, so that no two mix. */
export class CacheService {
  readonly #options: CacheServiceOptions;
  /** Wall time that does not jump: what entries expire by. */
  readonly #nowMs: () => number;
  #tiers: Tiers;
  #namespaces: Namespaces;
  #subscriptions: readonly Subscription[] = [];
  #cancelExpiry = () => {};
  #cancelHeartbeat = () => {};
  readonly #out = new ReplyWriter();
  /** Writes what waited for a fill is answered with, while `#out` may be in use for the request that filled. */
  readonly #laterOut = new ReplyWriter();

  constructor(options: CacheServiceOptions) {
    this.#options = options;
    const { clock } = options;
    const startMs = clock.nowMs() - clock.monotonicMs();
    this.#nowMs = () => startMs + clock.monotonicMs();
    this.#tiers = this.#newTiers();
    this.#namespaces = this.#emptyNamespaces();
  }

  /** Begins, with nothing in memory, to answer for the whole cache: once it knows how its namespaces are configured. */
  async begin(): Promise<void> {
    const tiers = this.#newTiers();
    this.#tiers = tiers;
    this.#namespaces = this.#emptyNamespaces();
    // It may be over before it has begun.
    if (!(await tiers.recover())) return;
    for (const name of tiers.names) {
      const namespace = this.#namespaces.open(name);
      if (namespace.ok) tiers.of(namespace.value);
    }
    await tiers.opened();
    if (this.#tiers !== tiers || tiers.isClosed) return;
    const { nats, subjects } = this.#options;
    const group = { queue: cacheQueueGroup };
    this.#subscriptions = [
      subscribe(nats, subjects.cacheAll, group, (message) => this.#answer(message)),
      subscribe(nats, subjects.cacheStats, group, (message) => this.#answer(message)),
    ];
    this.#expireLater(expiryPeriodMs);
    this.#beatLater();
  }

  /** Takes no more requests, and forgets what it held: another node may have become the owner. */
  cease(): void {
    this.#stopTimers();
    this.#closeFills();
    // Drained, so that what is on its way is refused and not left without an answer. A closed connection has nothing.
    for (const subscription of this.#subscriptions) subscription.drain().catch(() => {});
    this.#subscriptions = [];
    this.#namespaces = this.#emptyNamespaces();
    void this.#tiers.abandon();
  }

  /** Takes nothing new and answers what has arrived. */
  async drain(): Promise<void> {
    this.#stopTimers();
    await Promise.all(this.#subscriptions.map((subscription) => subscription.drain()));
    this.#subscriptions = [];
    this.#closeFills();
    await this.#tiers.close();
  }

  stats() {
    return this.#namespaces.stats(this.#nowMs());
  }

  #answer(message: Msg): void {
    const startedMs = this.#options.clock.monotonicMs();
    const encodings = requestEncodings(message);
    const encoding = encodings.ok ? encodings.value.reply : json;
    const decided = encodings.ok
      ? this.#decide({ message, encoding, startedMs }, encodings.value)
      : encodings.error;
    if (decided === 'elsewhere') return;
    if (decided === 'written') replyBytes(message, this.#out.finish(), encoding);
    else if (decided !== 'later') replyRefusal(message, decided, encoding);
    this.#observe(message, startedMs, typeof decided === 'object' ? decided : undefined);
  }

  #observe(message: Msg, startedMs: number, refusal: Refusal | undefined): void {
    const endedMs = this.#options.clock.monotonicMs();
    this.#options.observe(message, { operation: this.#operationOf(message), refusal, startedMs, endedMs });
  }

  #decide(asked: Asked, encodings: RequestEncodings): Decided | 'elsewhere' {
    const { message } = asked;
    if (!this.#options.owns())
      return refuse('unavailable', 'this node does not own the cache just now').error;
    const { name, operation } = this.#address(message);
    const body = decodeBody(message.data, encodings.request, operation);
    if (!body.ok) return body.error;
    const out = this.#out.begin(encodings.reply);
    // An empty body stands for a request without fields.
    const request = body.value === undefined ? {} : body.value;
    if (message.subject === this.#options.subjects.cacheStats) {
      const checked = noFields(request);
      if (!checked.ok) return checked.error;
      out.value(this.stats());
      return 'written';
    }
    if (!isName(name))
      return refuseField('namespace', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -').error;
    if (!isCacheOperation(operation))
      return refuseField('operation', `must be one of ${Object.keys(cacheRequests).join(', ')}`).error;
    const read = operations[operation].read(request);
    if (!read.ok) return read.error;
    const namespace = this.#namespaces.open(name);
    if (!namespace.ok) return namespace.error;
    const { settings } = read.value;
    if (settings !== undefined) {
      void this.#configure(asked, namespace.value, settings);
      return 'elsewhere';
    }
    const tier = this.#tiers.of(namespace.value);
    if (tier === undefined) return this.#decideIn(namespace.value, read.value, asked);
    void this.#answerTiered(asked, { tier, namespace: namespace.value, request: read.value });
    return 'elsewhere';
  }

  /** A request on a namespace with a backend, which may have to wait for it before and after its decision. */
  async #answerTiered(
    asked: Asked,
    behind: { readonly tier: Tier; readonly namespace: Namespace; readonly request: Request },
  ): Promise<void> {
    const { encoding, startedMs } = asked;
    const { tier, namespace, request } = behind;
    const namespaces = this.#namespaces;
    const page = request.page === undefined ? undefined : await this.#pageOf(tier, request.page);
    const reply = await decideTiered({
      tier,
      reads: request.reads ?? request.keys,
      startedMs,
      owns: () => this.#options.owns() && this.#namespaces === namespaces,
      decide: () => {
        this.#out.begin(encoding);
        if (page !== undefined) return page.ok ? encoded(page.value, encoding) : page.error;
        const decided = this.#decideIn(namespace, request, asked);
        if (decided === 'later') return undefined;
        // Other requests are decided before this one is answered.
        return decided === 'written' ? Buffer.from(this.#out.finish()) : decided;
      },
    });
    this.#reply(asked, namespace, reply);
  }

  #reply(
    { message, encoding, startedMs }: Asked,
    { isDegraded }: Namespace,
    reply: Uint8Array | Refusal | undefined,
  ): void {
    if (reply instanceof Uint8Array)
      replyBytes(message, reply, encoding, isDegraded ? degradedHeader : undefined);
    else if (reply !== undefined) replyRefusal(message, reply, encoding);
    this.#observe(message, startedMs, reply instanceof Uint8Array ? undefined : reply);
  }

  /** A page of keys from the backend; undefined where memory answers. */
  async #pageOf(
    tier: Tier,
    { prefix, limit, cursor }: KeysCommand,
  ): Promise<Result<BackendPage> | undefined> {
    const page = await tier.page({
      prefix,
      cursor,
      keysMax: limit,
      keyBytesMax: cacheKeysPageBytesMax,
      nowMs: this.#nowMs(),
    });
    return page === 'cursor' ? refuseField('cursor', 'must be as keys returned it') : page && accept(page);
  }

  async #configure(asked: Asked, namespace: Namespace, settings: Partial<NamespaceSettings>): Promise<void> {
    const refusal = await this.#tiers.configure(namespace, settings);
    if (namespace.events.isWaiting) this.#publishEvents(namespace);
    this.#reply(asked, namespace, refusal ?? encoded(namespace.stats(this.#nowMs()), asked.encoding));
  }

  #decideIn(namespace: Namespace, request: Request, { message, encoding }: Asked): Decided {
    const nowMs = this.#nowMs();
    const bytesBefore = namespace.bytes;
    const decided = request.decide({
      namespace,
      nowMs,
      out: this.#out,
      answerLater: (outcome) => this.#answerWaiter(message, outcome, { encoding, namespace }),
    });
    if (namespace.bytes > bytesBefore) this.#namespaces.keepWithinBytes(nowMs);
    if (namespace.events.isWaiting) this.#publishEvents(namespace);
    const endMs = this.#nowMs();
    if (decided !== 'later') namespace.latency.record(endMs - nowMs, endMs);
    return decided;
  }

  /** One who waited for a fill. Its entry is good only now, so the reply is written at once. */
  #answerWaiter(
    message: Msg,
    outcome: LoadOutcome,
    { encoding, namespace }: { readonly encoding: Encoding; readonly namespace: Namespace },
  ): void {
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

  /** The last two tokens: `<prefix>.cache.<namespace>.<operation>`. */
  #address(message: Msg): { readonly name: string; readonly operation: string } {
    const [, , name = '', operation = ''] = message.subject.split('.');
    return { name, operation };
  }

  /** A word of a closed set, since it becomes the attribute of a metric. */
  #operationOf(message: Msg): string {
    if (message.subject === this.#options.subjects.cacheStats) return 'cluster-stats';
    const { operation } = this.#address(message);
    return isCacheOperation(operation) ? operation : 'unknown';
  }

  #expireLater(delayMs: number): void {
    this.#cancelExpiry = this.#options.clock.after(delayMs, () => {
      const nowMs = this.#nowMs();
      const expired = this.#namespaces.expire(cacheExpiredPerStepMax, nowMs);
      for (const namespace of this.#namespaces.all())
        if (namespace.events.isWaiting) this.#publishEvents(namespace);
      // A full step means that more are due: requests get their turn first.
      this.#expireLater(expired === cacheExpiredPerStepMax ? 0 : expiryPeriodMs);
    });
  }

  /** The last sequence again, wherever somebody may hold copies: so a lost invalidation is noticed. */
  #beatLater(): void {
    this.#cancelHeartbeat = this.#options.clock.after(cacheHeartbeatMs, () => {
      for (const namespace of this.#namespaces.all())
        if (namespace.settings.nearCache) this.#publish(namespace.name, namespace.events.heartbeat());
      this.#beatLater();
    });
  }

  #stopTimers(): void {
    this.#cancelExpiry();
    this.#cancelHeartbeat();
  }

  /** Who waits for a fill is told that it will not come from here. */
  #closeFills(): void {
    for (const namespace of this.#namespaces.all()) namespace.fills.close();
  }

  #emptyNamespaces(): Namespaces {
    const versionFloor = Math.floor(this.#options.clock.nowMs()) * 1_000;
    const { bytesMax, newEpoch, random01, hashSecret } = this.#options;
    const tiers = this.#tiers;
    const settingsOf = (namespace: string) => tiers.settingsOf(namespace);
    return new Namespaces({ versionFloor, bytesMax, epoch: newEpoch(), random01, hashSecret, settingsOf });
  }

  #newTiers(): Tiers {
    return new Tiers({
      ...this.#options.tiers,
      clock: this.#options.clock,
      nowMs: this.#nowMs,
      versions: {
        next: () => this.#namespaces.nextVersion(),
        raise: (version) => this.#namespaces.sawVersion(version),
      },
      changed: (namespace) => this.#publishEvents(namespace),
    });
  }
}

const encoded = (value: unknown, encoding: Encoding): Buffer => Buffer.from(encode(value, encoding));
