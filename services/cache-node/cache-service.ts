import { cacheRequests, isCacheOperation } from '#shared/protocol/cache-schemas.ts';
import { json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { cacheExpiredPerStepMax } from '#shared/protocol/limits.ts';
import { isName } from '#shared/protocol/names.ts';
import { type Encoded, encodePart } from '#shared/protocol/splice.ts';
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
import { Namespaces } from './core/namespaces.ts';
import { operations } from './operations.ts';
import { decodeBody } from './request-body.ts';

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
}

export const cacheQueueGroup = 'trivet-cache';

const noFields = validator(cacheRequests.stats);

/** How often expired entries are looked for, in milliseconds, when the last look left none. */
const expiryPeriodMs = 100;

/** The turn of the cache: message in → decode → validate → decide → reply, all in one go, so that no two mix. */
export class CacheService {
  readonly #options: CacheServiceOptions;
  /** Wall time that does not jump: what entries expire by. */
  readonly #nowMs: () => number;
  #namespaces: Namespaces;
  #subscriptions: readonly Subscription[] = [];
  #cancelExpiry = () => {};

  constructor(options: CacheServiceOptions) {
    this.#options = options;
    const { clock } = options;
    const startMs = clock.nowMs() - clock.monotonicMs();
    this.#nowMs = () => startMs + clock.monotonicMs();
    this.#namespaces = this.#emptyNamespaces();
  }

  /** Begins, with nothing in it, to answer for the whole cache. */
  begin(): void {
    this.#namespaces = this.#emptyNamespaces();
    const { nats, subjects } = this.#options;
    const group = { queue: cacheQueueGroup };
    this.#subscriptions = [
      subscribe(nats, subjects.cacheAll, group, (message) => this.#answer(message)),
      subscribe(nats, subjects.cacheStats, group, (message) => this.#answer(message)),
    ];
    this.#expireLater(expiryPeriodMs);
  }

  /** Takes no more requests, and forgets what it held: another node may have become the owner. */
  cease(): void {
    this.#cancelExpiry();
    // Drained, so that what is on its way is refused and not left without an answer. A closed connection has nothing.
    for (const subscription of this.#subscriptions) subscription.drain().catch(() => {});
    this.#subscriptions = [];
    this.#namespaces = this.#emptyNamespaces();
  }

  /** Takes nothing new and answers what has arrived. */
  async drain(): Promise<void> {
    this.#cancelExpiry();
    await Promise.all(this.#subscriptions.map((subscription) => subscription.drain()));
    this.#subscriptions = [];
  }

  stats() {
    return this.#namespaces.stats();
  }

  #answer(message: Msg): void {
    const startedMs = this.#options.clock.monotonicMs();
    const encodings = requestEncodings(message);
    const operation = this.#operationOf(message);
    const reply = encodings.ok ? this.#decide(message, encodings.value) : encodings;
    const encoding = encodings.ok ? encodings.value.reply : json;
    if (reply.ok) replyBytes(message, reply.value, encoding);
    else replyRefusal(message, reply.error, encoding);
    this.#options.observe(message, {
      operation,
      refusal: reply.ok ? undefined : reply.error,
      startedMs,
      endedMs: this.#options.clock.monotonicMs(),
    });
  }

  #decide(message: Msg, encodings: RequestEncodings): Result<Encoded> {
    if (!this.#options.owns()) return refuse('unavailable', 'this node does not own the cache just now');
    const { name, operation } = this.#address(message);
    const body = decodeBody(message.data, encodings.request, operation);
    if (!body.ok) return body;
    // An empty body stands for a request without fields.
    const request = body.value === undefined ? {} : body.value;
    if (message.subject === this.#options.subjects.cacheStats) {
      const checked = noFields(request);
      return checked.ok ? accept(encodePart(this.stats(), encodings.reply)) : checked;
    }
    if (!isName(name))
      return refuseField('namespace', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -');
    if (!isCacheOperation(operation))
      return refuseField('operation', `must be one of ${Object.keys(cacheRequests).join(', ')}`);
    const namespace = this.#namespaces.open(name);
    if (!namespace.ok) return namespace;
    const nowMs = this.#nowMs();
    const reply = operations[operation](request, {
      namespace: namespace.value,
      nowMs,
      replyEncoding: encodings.reply,
    });
    this.#namespaces.keepWithinBytes(nowMs);
    return reply;
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
      const expired = this.#namespaces.expire(cacheExpiredPerStepMax, this.#nowMs());
      // A full step means that more are due: requests get their turn first.
      this.#expireLater(expired === cacheExpiredPerStepMax ? 0 : expiryPeriodMs);
    });
  }

  #emptyNamespaces(): Namespaces {
    const versionFloor = Math.floor(this.#options.clock.nowMs()) * 1_000;
    return new Namespaces({ versionFloor, bytesMax: this.#options.bytesMax });
  }
}
