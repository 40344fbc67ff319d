import { randomUUID } from 'node:crypto';
import type { AuditHead, AuditNote } from '#shared/protocol/audit-schemas.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { type ChainEnd, chainStart, nextLine, signHead } from '#shared/runtime/audit-chain.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { SigningKey } from '#shared/runtime/signing-key.ts';
import type { AuditStream, StreamEnd } from './audit-stream.ts';
import { RefusalWindow } from './core/refusal-window.ts';

export interface AuditTrailOptions {
  readonly stream: AuditStream;
  readonly clock: Clock;
  readonly key: SigningKey;
  /** Keeps a head somewhere else than the stream does. */
  readonly keepHead: (head: AuditHead) => Promise<void>;
  readonly log: {
    error(fields: object, text: string): void;
    info(fields: object, text: string): void;
  };
}

/** Entries in one message, and entries that wait at once. */
const batchMax = 200;
/**
 * Bytes of one message, about: NATS may be set to take small ones only, and a message that it does not take would stand
 * in the way of all others for ever. As what is around a note counts its hash, its number and its time.
 */
const batchBytesMax = 32_768;
const aroundNoteBytes = 128;
const waitingMax = 10_000;
/** A head is signed at most this often, in milliseconds: a signature costs as much as some hundred requests. */
const headMs = 1_000;
/** The log is told of a head at most this often, in milliseconds, and of the last one: it is for people, too. */
const headToldMs = 60_000;
const retryMs = 250;
/** How long after `end` an entry is tried again still, in milliseconds: NATS may have a new leader by then. */
const endMs = 2_000;
const refusalLookMs = 5_000;

interface Waiting {
  readonly note: AuditNote;
  readonly atMs: number;
  readonly written: () => void;
}

/**
 * Writes the audit: one chain that several processes append to. An append says which message it follows, so of two that
 * write at once one is refused, reads what the other wrote, and chains its own entries to that.
 */
export class AuditTrail {
  readonly #options: AuditTrailOptions;
  readonly #window = new RefusalWindow();
  #waiting: Waiting[] = [];
  #end: StreamEnd = { sequence: 0, chain: chainStart };
  #writing: Promise<void> | undefined;
  #signedAtMs = 0;
  #toldAtMs = 0;
  #signed = 0;
  #failing = false;
  /** When the tries end, by the clock that only goes on. */
  #untilMs = Infinity;
  #cancelLook = (): void => undefined;

  constructor(options: AuditTrailOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    this.#end = await this.#options.stream.open();
    this.#look();
  }

  /** False while entries cannot be written: nothing that must be in the audit may be done then. */
  get isWritable(): boolean {
    return !this.#failing && this.#waiting.length < waitingMax;
  }

  /** Resolves when the entry is durable. */
  note(note: AuditNote): Promise<void> {
    return new Promise((written) => {
      // An entry that nobody waits for gives way; what must be written is refused before it is done (`isWritable`).
      if (this.#waiting.length >= waitingMax) {
        this.#options.log.error({ audit: note }, 'the audit is full: an entry is only in this log');
        written();
        return;
      }
      this.#waiting.push({ note, atMs: this.#options.clock.nowMs(), written });
      this.#writing ??= this.#write();
    });
  }

  /** A refusal: nobody waits for its entry, and a flood of the same is counted. */
  refused(note: AuditNote): void {
    for (const one of this.#window.note(note, this.#options.clock.nowMs())) void this.note(one);
  }

  /**
   * The process is about to end: what cannot be written is in the log two seconds from now, and whoever waits for it is
   * answered. Until then it is tried again for ever, and the gateway would wait for those requests until it is killed.
   */
  end(): void {
    this.#untilMs = Math.min(this.#untilMs, this.#options.clock.monotonicMs() + endMs);
  }

  async close(): Promise<void> {
    this.end();
    this.#cancelLook();
    for (const one of this.#window.due(this.#options.clock.nowMs(), true)) void this.note(one);
    await this.#writing;
    await this.#sign(true);
  }

  #look(): void {
    const { clock } = this.#options;
    this.#cancelLook = clock.after(refusalLookMs, () => {
      for (const one of this.#window.due(clock.nowMs())) void this.note(one);
      void this.#sign(false);
      this.#look();
    });
  }

  async #write(): Promise<void> {
    // A turn of the loop: what is noted together is written together.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0) await this.#writeBatch();
    } finally {
      // In the same step as the look that found nothing waiting: whoever comes a moment later begins anew.
      this.#writing = undefined;
    }
  }

  async #writeBatch(): Promise<void> {
    const batch = this.#waiting.slice(0, fitting(this.#waiting));
    // One id however often it is tried: an append whose answer was lost is recognized by it.
    const id = randomUUID();
    while (!(await this.#append(batch, id))) {
      if (this.#options.clock.monotonicMs() >= this.#untilMs) return this.#giveUp();
      await sleep(this.#options.clock, retryMs);
    }
    this.#waiting = this.#waiting.slice(batch.length);
    for (const { written } of batch) written();
    await this.#sign(false);
  }

  async #append(batch: readonly Waiting[], id: string): Promise<boolean> {
    const { stream, log } = this.#options;
    try {
      for (;;) {
        const made = linesAfter(this.#end.chain, batch);
        const sequence = await stream.append(made.lines, this.#end.sequence, id);
        if (sequence !== undefined) {
          this.#end = { sequence, chain: made.end };
          break;
        }
        // Somebody else has written meanwhile: after theirs, then.
        this.#end = await stream.end();
      }
    } catch (error) {
      if (!this.#failing) log.error({ err: error }, 'the audit cannot be written');
      this.#failing = true;
      return false;
    }
    if (this.#failing) log.info({}, 'the audit is written again');
    this.#failing = false;
    return true;
  }

  #giveUp(): void {
    for (const { note, written } of this.#waiting) {
      this.#options.log.error({ audit: note }, 'the process ends: an entry of the audit is only in this log');
      written();
    }
    this.#waiting = [];
  }

  async #sign(now: boolean): Promise<void> {
    const { clock, key, keepHead, log } = this.#options;
    const nowMs = clock.nowMs();
    const { chain } = this.#end;
    if (chain.n === this.#signed || (!now && nowMs - this.#signedAtMs < headMs)) return;
    this.#signedAtMs = nowMs;
    this.#signed = chain.n;
    const head = signHead(chain, formatTime(nowMs), key);
    // In the log as well: wherever logs are collected, the head is out of reach of who owns this NATS.
    if (now || nowMs - this.#toldAtMs >= headToldMs) {
      this.#toldAtMs = nowMs;
      log.info({ auditHead: head }, 'audit head');
    }
    await keepHead(head).catch((error: unknown) => {
      log.error({ err: error }, 'the head of the audit was not kept');
    });
  }
}

/** How many of those who wait go into one message: at least one. */
function fitting(waiting: readonly Waiting[]): number {
  let bytes = 0;
  let count = 0;
  for (const { note } of waiting.slice(0, batchMax)) {
    bytes += Buffer.byteLength(JSON.stringify(note)) + aroundNoteBytes;
    if (count > 0 && bytes > batchBytesMax) break;
    count += 1;
  }
  return count;
}

function linesAfter(start: ChainEnd, batch: readonly Waiting[]) {
  let end = start;
  const lines = batch.map(({ note, atMs }) => {
    const next = nextLine(end, { at: formatTime(atMs), ...note });
    ({ end } = next);
    return next.line;
  });
  return { lines, end };
}
