/** What became of every record, seen from one destination. `dropped` is what a best-effort one never got. */
export interface DestinationAccount {
  received: number;
  exported: number;
  /** Refused by it for good. */
  rejected: number;
  /** Dead letters before anything was sent. */
  deadLettered: number;
  /** Left out by a level, or not for this destination: its signals, its filter. */
  filtered: number;
  sampled: number;
  dropped: number;
}

/** Records of one message that are on their way, by destination. */
export type OnTheirWay = Readonly<Record<string, number>>;

/** What a message holds, and how much of it each destination is to get. */
export interface Counted {
  readonly records: number;
  readonly dead: number;
  readonly filtered: number;
  readonly sampled: number;
  /** Every destination there is, also one that gets nothing of it. */
  readonly wanted: ReadonlyMap<string, number>;
}

/** How a message's way to one destination ended. */
export interface Reached {
  readonly sequence: number;
  readonly destination: string;
  readonly rejected: number;
  /** True where the rest did not get there either. */
  readonly isDropped: boolean;
}

const none = (): DestinationAccount => ({
  received: 0,
  exported: 0,
  rejected: 0,
  deadLettered: 0,
  filtered: 0,
  sampled: 0,
  dropped: 0,
});

/** The account of each destination, since it was first there. Pending is added up message by message. */
export class DestinationAccounts {
  readonly #accounts = new Map<string, DestinationAccount>();
  readonly #pending = new Map<number, Record<string, number>>();

  /** @param pending of messages that come again; what else was on its way to a best-effort destination is lost */
  recover(
    accounts: Readonly<Record<string, DestinationAccount>>,
    pending: Iterable<readonly [sequence: number, OnTheirWay]>,
  ): void {
    for (const [sequence, to] of pending) this.#pending.set(sequence, { ...to });
    const left = this.pending();
    for (const [name, kept] of Object.entries(accounts)) {
      const account = { ...none(), ...kept };
      account.dropped += account.received - endedOf(account) - (left[name] ?? 0);
      this.#accounts.set(name, account);
    }
  }

  /** Counts a message that came for the first time. @returns what is to be kept until it is reached */
  arrive(sequence: number, { records, dead, filtered, sampled, wanted }: Counted): OnTheirWay | undefined {
    const to: Record<string, number> = {};
    for (const [name, count] of wanted) {
      const account = this.#accounts.get(name) ?? none();
      this.#accounts.set(name, account);
      account.received += records + dead + filtered + sampled;
      account.deadLettered += dead;
      account.filtered += filtered + records - count;
      account.sampled += sampled;
      if (count > 0) to[name] = count;
    }
    if (Object.keys(to).length === 0) return undefined;
    this.#pending.set(sequence, to);
    return { ...to };
  }

  /** @returns what is still on its way; undefined where it was not on its way there */
  reach({ sequence, destination, rejected, isDropped }: Reached): OnTheirWay | undefined {
    const to = this.#pending.get(sequence);
    const count = to?.[destination];
    const account = this.#accounts.get(destination);
    if (to === undefined || count === undefined || account === undefined) return undefined;
    const refused = Math.min(count, rejected);
    account.rejected += refused;
    account[isDropped ? 'dropped' : 'exported'] += count - refused;
    const { [destination]: _reached, ...rest } = to;
    if (Object.keys(rest).length === 0) this.#pending.delete(sequence);
    else this.#pending.set(sequence, rest);
    return rest;
  }

  /** Where a message is on its way to. */
  waysOf(sequence: number): readonly string[] {
    return Object.keys(this.#pending.get(sequence) ?? {});
  }

  /** Nobody wants a message any more: it was read, or counted, when other destinations were here. */
  dropWays(sequence: number): void {
    for (const destination of this.waysOf(sequence))
      this.reach({ sequence, destination, rejected: 0, isDropped: true });
  }

  pending(): OnTheirWay {
    const sums: Record<string, number> = {};
    for (const to of this.#pending.values())
      for (const [name, count] of Object.entries(to)) sums[name] = (sums[name] ?? 0) + count;
    return sums;
  }

  /** A copy that later messages do not change. */
  snapshot(): Readonly<Record<string, DestinationAccount>> {
    return Object.fromEntries([...this.#accounts].map(([name, account]) => [name, { ...account }]));
  }
}

/** Everything but what is on its way. */
export const endedOf = (account: DestinationAccount): number =>
  account.exported +
  account.rejected +
  account.deadLettered +
  account.filtered +
  account.sampled +
  account.dropped;
