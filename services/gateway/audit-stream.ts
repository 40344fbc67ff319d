import { type ChainEnd, chainStart, endOf } from '#shared/runtime/audit-chain.ts';
import {
  type JetStreamManager,
  type Nats,
  DiscardPolicy,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  headers,
} from '#shared/runtime/nats.ts';

/** Where stream and chain end: what the next message follows. */
export interface StreamEnd {
  /** 0 for an empty stream. */
  readonly sequence: number;
  readonly chain: ChainEnd;
}

export interface AuditStreamOptions {
  readonly nats: Nats;
  readonly stream: string;
  readonly subject: string;
  readonly replicas: number;
}

export interface AuditMessage {
  readonly sequence: number;
  readonly lines: readonly string[];
}

const wrongLastSequence = 10_071;
const noMessageFound = 10_037;
const appendMsMax = 5_000;

/** The stream of the audit: messages of lines, never deleted, never purged, never aged out. */
export class AuditStream {
  readonly #options: AuditStreamOptions;
  #manager: JetStreamManager | undefined;

  constructor(options: AuditStreamOptions) {
    this.#options = options;
  }

  /** Makes the stream where it is not there. */
  async open(): Promise<StreamEnd> {
    const { nats, stream, subject, replicas } = this.#options;
    this.#manager = await nats.manager();
    const known = await this.#manager.streams.info(stream).catch((error: unknown) => {
      if (error instanceof JetStreamApiError && error.status === 404) return undefined;
      throw error;
    });
    if (known !== undefined) return this.end();
    await this.#manager.streams.add({
      name: stream,
      subjects: [subject],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      // A full audit refuses what comes, it does not forget what was.
      discard: DiscardPolicy.New,
      num_replicas: replicas,
      deny_delete: true,
      deny_purge: true,
      allow_direct: true,
    });
    return this.end();
  }

  /**
   * Appends lines as one message that follows the message `after`.
   * @param id of this append: an answer that was lost is looked for by it
   * @returns its sequence, or undefined when another message stands there already
   */
  async append(lines: readonly string[], after: number, id: string): Promise<number | undefined> {
    const { nats, subject } = this.#options;
    const own = headers();
    own.set('Trivet-Append', id);
    try {
      const ack = await nats.js.publish(subject, lines.join('\n'), {
        msgID: id,
        headers: own,
        timeout: appendMsMax,
        expect: { lastSequence: after },
      });
      return ack.seq;
    } catch (error) {
      // Whatever went wrong: the message that stands in its place says whether it is this one.
      const there = await this.#message(after + 1);
      if (there?.id === id) return after + 1;
      if (error instanceof JetStreamApiError && error.code === wrongLastSequence) return undefined;
      throw error;
    }
  }

  async end(): Promise<StreamEnd> {
    const info = await this.#open().streams.info(this.#options.stream);
    const sequence = info.state.last_seq;
    const last = sequence === 0 ? undefined : await this.#message(sequence);
    return { sequence, chain: last === undefined ? chainStart : endOf(last.lines.at(-1) ?? '') };
  }

  /** The message of this sequence, or undefined where there is none. */
  async read(sequence: number): Promise<AuditMessage | undefined> {
    return this.#message(sequence);
  }

  async #message(sequence: number): Promise<(AuditMessage & { readonly id: string }) | undefined> {
    try {
      const stored = await this.#open().streams.getMessage(this.#options.stream, { seq: sequence });
      if (stored === null) return undefined;
      const lines = Buffer.from(stored.data).toString().split('\n');
      return { sequence, lines, id: stored.header.get('Trivet-Append') };
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === noMessageFound) return undefined;
      throw error;
    }
  }

  #open(): JetStreamManager {
    if (this.#manager === undefined) throw new Error('the audit was used before it was opened');
    return this.#manager;
  }
}
