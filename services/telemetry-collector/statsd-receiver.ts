import { randomUUID } from 'node:crypto';
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { encode, json } from '#shared/protocol/encoding.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { type Clock, sleep, within } from '#shared/runtime/clock.ts';
import { listening } from '#shared/runtime/listening.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { Burial, DeadLetters } from './collector-service.ts';
import { type StatsdRecord, readStatsd } from './core/statsd.ts';

export interface StatsdOptions {
  readonly host: string;
  /** 0 is any free one. */
  readonly port: number;
  readonly source: string;
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly deadLetters: DeadLetters;
  readonly clock: Clock;
  readonly log: Log;
}

// Records go into the stream this often, or when there are as many.
const gatherMs = 100;
const messageRecordsMax = 1_000;
// UDP cannot be told to wait: what is more than this while the stream is away is dropped and counted.
const waitingMax = 50_000;
// Bad lines that wait to be kept; one broken sender makes thousands of the same.
const badWaitingMax = 1_000;
const gaugesMax = 10_000;
const pauseMs = 500;
// For the headers of a message and the frame around it.
const overheadBytes = 1_024;
// A process that ends has ten seconds for everything; a stream that is away may be so for longer.
const stopMsMax = 3_000;

/** Receives StatsD over UDP and puts what it says into the stream as metric records. */
export class StatsdReceiver {
  readonly #options: StatsdOptions;
  readonly #socket: Socket;
  #records: StatsdRecord[] = [];
  #bad: Burial[] = [];
  /** What gauges are, for those who say how they change. */
  readonly #gauges = new Map<string, number>();
  #cancel: (() => void) | undefined;
  #sending: Promise<void> = Promise.resolve();
  #isSending = false;
  #isOver = false;
  #dropped = 0;

  constructor(options: StatsdOptions) {
    this.#options = options;
    this.#socket = createSocket({
      type: options.host.includes(':') ? 'udp6' : 'udp4',
      recvBufferSize: 4 * 1_048_576,
    });
    this.#socket.on('message', (packet) => this.#receive(packet));
  }

  /** Lines that could not be kept, since the stream was away or too many of them were bad. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * @returns the port
   * Rejects where it is taken.
   */
  async start(): Promise<number> {
    const { host, port, log } = this.#options;
    await listening({ host, port, settings: 'TRIVET_STATSD_HOST and TRIVET_STATSD_PORT' }, () =>
      once(this.#socket.bind(port, host), 'listening'),
    );
    this.#socket.on('error', (error) => log.error({ err: error }, 'StatsD cannot be received'));
    return this.#socket.address().port;
  }

  /** Puts what has come into the stream, as far as it takes it in time. */
  async stop(): Promise<void> {
    const { clock, log } = this.#options;
    this.#socket.close();
    this.#cancel?.();
    this.#send();
    await within(clock, stopMsMax, this.#sending, undefined);
    this.#isOver = true;
    const left = this.#records.splice(0).length + this.#bad.splice(0).length;
    if (left === 0) return;
    this.#dropped += left;
    log.warn({ dropped: left }, 'StatsD lines are dropped: the stream is away');
  }

  #receive(packet: Buffer): void {
    for (const line of packet.toString('utf8').split('\n')) {
      const text = line.trim();
      // Events and service checks of DogStatsD are no metrics.
      if (text === '' || text.startsWith('_e{') || text.startsWith('_sc|')) continue;
      this.#take(text);
    }
    if (this.#records.length >= messageRecordsMax) this.#send();
    else this.#cancel ??= this.#options.clock.after(gatherMs, () => this.#send());
  }

  #take(line: string): void {
    const read = readStatsd(line, this.#options.source);
    if (read.kind === 'bad') this.#keepBad(line, read.problem);
    else if (this.#records.length >= waitingMax) this.#drop();
    else if (read.kind === 'change') this.#records.push(this.#changed(read.record));
    else {
      for (const record of read.records) {
        if (record.type === 'gauge') this.#remember(record);
        this.#records.push(record);
      }
    }
  }

  #changed(record: StatsdRecord): StatsdRecord {
    const value = (this.#gauges.get(gaugeKey(record)) ?? 0) + record.value;
    const changed = { ...record, value };
    this.#remember(changed);
    return changed;
  }

  /** The one that was heard of longest ago makes room: the others go on from what they are. */
  #remember(record: StatsdRecord): void {
    const key = gaugeKey(record);
    this.#gauges.delete(key);
    this.#gauges.set(key, record.value);
    const [oldest] = this.#gauges.size > gaugesMax ? this.#gauges.keys() : [];
    if (oldest !== undefined) this.#gauges.delete(oldest);
  }

  #keepBad(line: string, message: string): void {
    if (this.#bad.length >= badWaitingMax) return this.#drop();
    this.#bad.push({
      letter: {
        reason: 'invalid_record',
        message,
        index: undefined,
        contentType: 'text/plain',
        body: Buffer.from(line),
      },
      sequence: undefined,
      subject: 'statsd',
      receivedMs: this.#options.clock.nowMs(),
    });
  }

  #drop(): void {
    this.#dropped += 1;
    if (this.#dropped === 1 || this.#dropped % 10_000 === 0)
      this.#options.log.warn({ dropped: this.#dropped }, 'StatsD lines are dropped');
  }

  #send(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#isSending) return;
    this.#isSending = true;
    this.#sending = this.#sendAll().finally(() => {
      this.#isSending = false;
    });
  }

  async #sendAll(): Promise<void> {
    const { deadLetters } = this.#options;
    while (this.#records.length + this.#bad.length > 0 && !this.#isOver) {
      await deadLetters.bury(this.#bad.splice(0));
      const { count, body } = this.#next();
      if (body !== undefined && (await this.#store(body))) this.#records.splice(0, count);
    }
  }

  /**
   * Tries until the stream has it: the same message each time, by whose id the stream knows it where only the answer
   * was lost. @returns false where the process ends before
   */
  async #store(body: Uint8Array): Promise<boolean> {
    const msgID = randomUUID();
    while (!this.#isOver) if (await this.#isStored(body, msgID)) return true;
    return false;
  }

  /** As many records as a message has room for; one that no message has room for goes to the bad ones. */
  #next(): { readonly count: number; readonly body: Uint8Array | undefined } {
    const bytesMax = (this.#options.nats.connection.info?.max_payload ?? 1_048_576) - overheadBytes;
    let count = Math.min(this.#records.length, messageRecordsMax);
    while (count > 0) {
      const body = encode(this.#records.slice(0, count), json);
      if (body.length <= bytesMax) return { count, body };
      if (count === 1) {
        const [record] = this.#records.splice(0, 1);
        this.#keepBad(JSON.stringify(record), `a record may have ${bytesMax} bytes`);
      }
      count = count >>> 1;
    }
    return { count, body: undefined };
  }

  async #isStored(body: Uint8Array, msgID: string): Promise<boolean> {
    const { nats, subjects, clock, log } = this.#options;
    try {
      await nats.js.publish(subjects.telemetry('metric'), body, { msgID });
      return true;
    } catch (error) {
      log.debug({ err: error }, 'StatsD records wait for the stream');
      await sleep(clock, pauseMs);
      return false;
    }
  }
}

/** Whatever the order of its tags: it is one series. */
const gaugeKey = ({ name, source, tags }: StatsdRecord): string =>
  JSON.stringify([source, name, Object.entries(tags ?? {}).sort(([one], [other]) => (one < other ? -1 : 1))]);
