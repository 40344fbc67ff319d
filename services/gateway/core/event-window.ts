/** A live event as callers see it. `id` says where it stands, in the words of whoever resumes. */
export interface LiveEvent {
  readonly id: string;
  /** `queue`, `cache` or another part of Trivet. */
  readonly area: string;
  /** The queue or namespace. */
  readonly name: string;
  /** The state of queue events. */
  readonly state: string | undefined;
  /** JSON of one line. */
  readonly data: string;
}

export interface EventWindowOptions {
  /** What tells this gateway's ids from another's: letters and digits. */
  readonly gateway: string;
  readonly eventsMax: number;
  readonly bytesMax: number;
}

interface Kept {
  readonly event: LiveEvent;
  readonly number: number;
  readonly atMs: number;
}

/** What a caller missed: the events behind its id, and whether some before them are not known any more. */
export interface Missed {
  readonly events: readonly LiveEvent[];
  readonly gap: boolean;
}

/**
 * The clocks of two gateways, and the way of an event to each, may differ by this much: what is resumed at another
 * gateway begins this much earlier, and may show an event twice.
 */
const otherGatewayMs = 2_000;

const idExpression = /^([0-9a-z]{1,16})-([0-9]{1,15})-([0-9]{1,15})$/;

/**
 * The newest live events, for whoever lost its connection. An id is the gateway, the number there and the time: at the
 * gateway that gave it, a resumed stream goes on exactly behind it; at another one, by time. Pure; O(1) an event.
 */
export class EventWindow {
  readonly #options: EventWindowOptions;
  #kept: Kept[] = [];
  #first = 0;
  #bytes = 0;
  #number = 0;
  #sinceMs: number;

  /** @param nowMs when the gateway began to listen; what came before it cannot be known */
  constructor(options: EventWindowOptions, nowMs: number) {
    this.#options = options;
    this.#sinceMs = nowMs;
  }

  add(event: Omit<LiveEvent, 'id'>, nowMs: number): LiveEvent {
    this.#number += 1;
    const made = { ...event, id: `${this.#options.gateway}-${this.#number}-${nowMs}` };
    this.#kept.push({ event: made, number: this.#number, atMs: nowMs });
    this.#bytes += made.data.length;
    while (this.#length() > this.#options.eventsMax || this.#bytes > this.#options.bytesMax) this.#forget();
    return made;
  }

  /** What came behind `id`; undefined when that is no id of any gateway. */
  after(id: string): Missed | undefined {
    const [, gateway, number, atMs] = idExpression.exec(id) ?? [];
    if (gateway === undefined) return undefined;
    const oldest = this.#kept[this.#first];
    if (gateway === this.#options.gateway) {
      const last = Number(number);
      if (last > this.#number) return { events: [], gap: true };
      return { events: this.#from((one) => one.number > last), gap: last + 1 < (oldest?.number ?? last + 1) };
    }
    const fromMs = Number(atMs) - otherGatewayMs;
    return { events: this.#from((one) => one.atMs >= fromMs), gap: fromMs < this.#sinceMs };
  }

  #from(isWanted: (one: Kept) => boolean): readonly LiveEvent[] {
    const events: LiveEvent[] = [];
    for (let index = this.#first; index < this.#kept.length; index += 1) {
      const one = this.#kept[index];
      if (one !== undefined && isWanted(one)) events.push(one.event);
    }
    return events;
  }

  #length = (): number => this.#kept.length - this.#first;

  #forget(): void {
    const oldest = this.#kept[this.#first];
    if (oldest === undefined) return;
    this.#bytes -= oldest.event.data.length;
    this.#sinceMs = oldest.atMs;
    this.#first += 1;
    // The forgotten ones leave in bulk: to move the others for each of them would cost their number squared.
    if (this.#first > this.#options.eventsMax) {
      this.#kept = this.#kept.slice(this.#first);
      this.#first = 0;
    }
  }
}
