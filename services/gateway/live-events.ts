import { randomBytes } from 'node:crypto';
import { decode, json, jsonText } from '#shared/protocol/encoding.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Msg, type Nats, type Subscription, subscribe } from '#shared/runtime/nats.ts';
import { EventWindow, type LiveEvent, type Missed } from './core/event-window.ts';

export interface LiveEventsOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
}

export type EventListener = (event: LiveEvent) => void;

/** Events kept for whoever comes back, and their bytes. */
const windowEventsMax = 10_000;
const windowBytesMax = 8 * 1_048_576;
/** How long after the last listener left the gateway still listens, so that the window is there when he comes back. */
const lingerMs = 60_000;
/** A larger event is dropped: it is nothing that our services send. */
const eventBytesMax = 262_144;

/**
 * The live events of NATS for those who listen over HTTP. Nobody listening costs nothing: the subscription is made for
 * the first and given up a minute after the last.
 */
export class LiveEvents {
  readonly #options: LiveEventsOptions;
  readonly #listeners = new Set<EventListener>();
  #window: EventWindow | undefined;
  #subscription: Subscription | undefined;
  #cancelLeaving = (): void => undefined;

  constructor(options: LiveEventsOptions) {
    this.#options = options;
  }

  /** @returns a function that ends it */
  listen(listener: EventListener): () => void {
    this.#cancelLeaving();
    this.#subscribe();
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#cancelLeaving();
      this.#cancelLeaving = this.#options.clock.after(lingerMs, () => this.stop());
    };
  }

  /** What came behind that id, as far as it is known here; undefined for what is no id. */
  missedSince(id: string): Missed | undefined {
    return this.#window?.after(id);
  }

  stop(): void {
    this.#cancelLeaving();
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#window = undefined;
  }

  #subscribe(): void {
    if (this.#subscription !== undefined) return;
    const { nats, subjects, clock } = this.#options;
    // Each window has a name of its own: its numbers begin anew, and an id of the one before it must not count here, or
    // what came while nobody listened would be missed without a word.
    const gateway = randomBytes(6).toString('hex');
    const options = { gateway, eventsMax: windowEventsMax, bytesMax: windowBytesMax };
    this.#window = new EventWindow(options, clock.nowMs());
    this.#subscription = subscribe(nats, `${subjects.prefix}.events.>`, {}, (message) => this.#take(message));
  }

  #take(message: Msg): void {
    if (message.data.length > eventBytesMax) return;
    const read = readEvent(message, this.#options.subjects.prefix);
    if (read === undefined) return;
    const event = this.#window?.add(read, this.#options.clock.nowMs());
    if (event !== undefined) for (const listener of this.#listeners) listener(event);
  }
}

/** An event's subject is `<prefix>.events.<area>.<name>[.<state>]`; what does not read as JSON is none. */
function readEvent(message: Msg, prefix: string): Omit<LiveEvent, 'id'> | undefined {
  const [area, name, state] = message.subject.slice(`${prefix}.events.`.length).split('.');
  if (area === undefined || name === undefined) return undefined;
  const decoded = decode(message.data, json);
  if (!decoded.ok) return undefined;
  const where = area === 'cache' ? { namespace: name } : { [area]: name };
  const said = { ...where, ...(state === undefined ? {} : { state }) };
  const body = Array.isArray(decoded.value)
    ? { items: decoded.value as unknown[] }
    : { event: decoded.value };
  // Written again: text of ours has no line break, which would end the event.
  return { area, name, state, data: jsonText({ ...said, ...body }) };
}
