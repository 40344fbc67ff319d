import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Clock } from '#shared/runtime/clock.ts';
import type { LiveEvent } from './core/event-window.ts';
import type { LiveEvents } from './live-events.ts';

export interface EventStreamOptions {
  readonly events: LiveEvents;
  readonly clock: Clock;
}

export interface EventFilter {
  /** The principal whose stream it is. */
  readonly reader: string;
  /** Where a caller goes on that lost its connection. */
  readonly lastEventId: string | undefined;
  /** Whether the caller wants the event and may see it. */
  readonly shows: (event: LiveEvent) => boolean;
  /** False once the caller's rights have ended: so does the stream. Asked every second. */
  readonly mayStay: () => Promise<boolean>;
}

/** A comment goes out after this much silence, so that proxies keep the connection and a dead one is noticed. */
const heartbeatMs = 15_000;
const lookMs = 1_000;
/** How long a reader whose stream has ended may take for what is left. Milliseconds. */
const lastMsMax = 2_000;
/** How long a browser waits before it comes again. */
const retryMs = 1_000;
/** Bytes that may wait for a slow reader, who is dropped beyond them: he comes again with the id of what he read last. */
const waitingBytesMax = 1_048_576;

const openName = 'trivet_gateway_event_streams';
const droppedName = 'trivet_gateway_event_streams_dropped_total';

/** The open streams of `GET /v1/events` (server-sent events). */
export class EventStreams {
  readonly #options: EventStreamOptions;
  /** What ends each open stream, and whose it is. */
  readonly #open = new Map<() => void, string>();
  #dropped = 0;

  constructor(options: EventStreamOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#open.size;
  }

  /** Those of one principal. O(streams). */
  countOf(reader: string): number {
    let count = 0;
    for (const one of this.#open.values()) if (one === reader) count += 1;
    return count;
  }

  /** In Prometheus's text format. */
  prometheusText(): string {
    return [
      `# HELP ${openName} Streams of live events that are open.`,
      `# TYPE ${openName} gauge`,
      `${openName} ${this.#open.size}`,
      `# HELP ${droppedName} Streams that were ended because their reader was too slow.`,
      `# TYPE ${droppedName} counter`,
      `${droppedName} ${this.#dropped}`,
      '',
    ].join('\n');
  }

  /** Answers with events until the caller leaves, is too slow, loses its rights, or `close`. */
  serve(response: ServerResponse, headers: OutgoingHttpHeaders, filter: EventFilter): void {
    const { events, clock } = this.#options;
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      // nginx would hold events back otherwise.
      'x-accel-buffering': 'no',
    });
    response.flushHeaders();
    let wroteMs = clock.monotonicMs();
    const write = (text: string): void => {
      response.write(text);
      wroteMs = clock.monotonicMs();
      if (response.writableLength <= waitingBytesMax || response.destroyed) return;
      this.#dropped += 1;
      response.destroy();
    };
    const show = (event: LiveEvent): void => {
      if (filter.shows(event)) write(eventText(event));
    };
    const stopListening = events.listen(show);
    const look = async (): Promise<void> => {
      const mayStay = await filter.mayStay().catch(() => false);
      if (response.destroyed || response.writableEnded) return;
      if (!mayStay) {
        leave();
        return;
      }
      if (clock.monotonicMs() - wroteMs >= heartbeatMs) write(': still here\n\n');
      cancel = clock.after(lookMs, () => void look());
    };
    let cancel = clock.after(lookMs, () => void look());
    const stop = (): void => {
      this.#open.delete(leave);
      cancel();
      stopListening();
    };
    const leave = (): void => {
      // Now and not when it is closed, which waits for the reader: to write behind the end would end the process.
      stop();
      response.end();
      // Who reads nothing must not hold up the end of the gateway, nor keep what waits for him.
      cancel = clock.after(lastMsMax, () => response.destroy());
    };
    this.#open.set(leave, filter.reader);
    response.once('close', stop);
    write(`retry: ${retryMs}\n\n`);
    if (filter.lastEventId !== undefined) this.#resume(filter.lastEventId, { write, show });
  }

  #resume(
    lastEventId: string,
    { write, show }: { readonly write: (text: string) => void; readonly show: (event: LiveEvent) => void },
  ): void {
    const missed = this.#options.events.missedSince(lastEventId);
    // Not silently: whoever counts on every event has to look for himself what happened meanwhile.
    if (missed === undefined || missed.gap) write('event: gap\ndata: {"missed":true}\n\n');
    for (const event of missed?.events ?? []) show(event);
  }

  /** Ends all streams; their readers come again, elsewhere. */
  close(): void {
    for (const leave of this.#open.keys()) leave();
  }
}

const eventText = ({ id, area, data }: LiveEvent): string => `id: ${id}\nevent: ${area}\ndata: ${data}\n\n`;
