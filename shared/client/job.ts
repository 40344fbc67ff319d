import { decode, msgpack } from '#shared/protocol/encoding.ts';
import type { ChildView } from '#shared/protocol/queue-more-schemas.ts';
import type { LeasedItem, QueuePriority } from '#shared/protocol/queue-schemas.ts';

/** What a handler gets beside the payload. */
export interface Job<Payload = unknown> {
  readonly id: string;
  readonly queue: string;
  readonly payload: Payload;
  readonly priority: QueuePriority;
  /** From 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Fencing token: pass it to what you write to, so that a stale worker can be refused there too. */
  readonly token: number;
  readonly headers: Readonly<Record<string, string>>;
  /** As the producer gave it, where the payload is not JSON. */
  readonly contentType: string | undefined;
  /** RFC 3339. */
  readonly enqueuedAt: string;
  /** Aborted when the item was cancelled, its lease was lost, or the worker is told to end at once. */
  readonly signal: AbortSignal;
  /**
   * Notes how far the work is: any JSON value of at most 8 KiB. The newest note is sent within 250 ms; it is kept with
   * the item. Throws a `TrivetError` for a note that cannot be sent.
   */
  progress(note: unknown): void;
  /**
   * Adds a line to the item's log (`queue.logs`). Sent within 250 ms; long texts become several lines.
   * Throws a `TrivetError` for what is no text.
   */
  log(line: string): void;
  /** What this item's children left, where it is the parent of a flow. */
  childResults(): Promise<readonly ChildView[]>;
}

/** A job as middleware sees it: the payload as it came, which it may replace before it calls `next`. */
export interface IncomingJob extends Job {
  payload: unknown;
}

/** What a job asks of its worker. */
export interface JobHost {
  progress(job: RunningJob, note: unknown): void;
  log(job: RunningJob, line: string): void;
  children(job: RunningJob): Promise<readonly ChildView[]>;
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({});

/** JSON as a value, MessagePack too, anything else as bytes. */
function payloadOf(item: LeasedItem): unknown {
  if (item.payloadBase64 === undefined) return item.payload;
  const bytes = Buffer.from(item.payloadBase64, 'base64');
  const decoded = item.contentType === msgpack ? decode(bytes, msgpack) : undefined;
  return decoded?.ok === true ? decoded.value : bytes;
}

/** An item that this worker has leased. */
export class RunningJob implements IncomingJob {
  readonly #host: JobHost;
  readonly #item: LeasedItem;
  /** Its place among the worker's leases. */
  readonly slot: number;
  readonly generation: number;
  payload: unknown;
  /** Its handler has been called. */
  begun = false;
  /** How it went has been decided; what the handler still does changes nothing. */
  settled = false;
  /** Its lease was lost, and the worker has said so. */
  lost = false;
  /** True from the worker's `stop` after its timeout: what the handler throws then is not the item's fault. */
  interrupted = false;
  #abort: AbortController | undefined;
  #reason: { readonly of: Error } | undefined;

  constructor(
    host: JobHost,
    item: LeasedItem,
    place: { readonly slot: number; readonly generation: number },
  ) {
    this.#host = host;
    this.#item = item;
    this.slot = place.slot;
    this.generation = place.generation;
    this.payload = payloadOf(item);
  }

  get id(): string {
    return this.#item.id;
  }
  get queue(): string {
    return this.#item.queue;
  }
  get priority(): QueuePriority {
    return this.#item.priority;
  }
  get attempt(): number {
    return this.#item.attempt;
  }
  get maxAttempts(): number {
    return this.#item.maxAttempts;
  }
  get token(): number {
    return this.#item.token;
  }
  get enqueuedAt(): string {
    return this.#item.enqueuedAt;
  }
  get contentType(): string | undefined {
    return this.#item.contentType;
  }
  get headers(): Readonly<Record<string, string>> {
    return this.#item.headers ?? noHeaders;
  }

  /** Made when somebody asks for it: most handlers never do, and it costs more than the rest of a job. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#reason !== undefined) this.#abort.abort(this.#reason.of);
    }
    return this.#abort.signal;
  }

  /** The first reason stays. */
  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = { of: reason };
    this.#abort?.abort(reason);
  }

  progress(note: unknown): void {
    this.#host.progress(this, note);
  }

  log(line: string): void {
    this.#host.log(this, line);
  }

  childResults(): Promise<readonly ChildView[]> {
    return this.#host.children(this);
  }
}
