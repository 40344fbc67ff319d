import { BackendGate } from './backend-gate.ts';
import { within } from '#shared/runtime/clock.ts';
import type { BackendPage, Figures, PageQuery } from './backend.ts';
import type { JournalPart } from './core/outage-journal.ts';
import type { Change } from './core/residence.ts';
import { TierTags } from './core/tier-tags.ts';
import { FetchedRows } from './fetched-rows.ts';
import { OutageNote } from './outage-note.ts';
import { encodeRow } from './row-codec.ts';
import { SlidEnds } from './slid-ends.ts';
import type { TierOptions } from './tier-options.ts';
import { type Outcome, noted, written } from './tier-outcome.ts';
import { TierReads } from './tier-reads.ts';
import { TierRecovery, rowOf } from './tier-recovery.ts';
import { TierView } from './tier-view.ts';
import { type WriteGroup, TierWrites } from './tier-writes.ts';

/** Between two looks whether the breaker lets one try through, in milliseconds. */
const probeMs = 100;
/**
 * A backend behind the memory of one namespace. What a request asks for and memory does not have is fetched before the
 * request is decided; what the decision changed is written before it is answered. Decisions stay what they are
 * without a backend: synchronous, over memory, one after the other.
 *
 * When the backend fails or does not answer in time it is cut off, and memory answers alone. The keys that change
 * meanwhile are noted (core/outage-journal.ts), and that there is an outage is noted outside of this process before
 * the first of these changes is answered: should the process end before the backend has been told, whoever comes next
 * begins with an empty backend instead of an old one.
 */
export class Tier {
  /** What the backend said just now, and what is at hand of a key. */
  readonly fetched = new FetchedRows();
  readonly view: TierView;
  /** Whether what stands behind is this process's alone. */
  readonly isOwn: boolean;
  /** Once closed: whether the backend has all that was decided here and nothing that is void, or it is noted that not. */
  isRight = false;
  readonly #options: TierOptions;
  readonly #gate: BackendGate;
  readonly #reads: TierReads;
  readonly #writes: TierWrites<Outcome>;
  readonly #recovery: TierRecovery;
  readonly #note: OutageNote;
  readonly #slid = new SlidEnds();
  readonly #tags = new TierTags();
  /** `opening`: whether the backend can be reached is not known yet, and calls wait for it as long as they may. */
  #state: 'opening' | 'kept' | 'degraded' | 'closed' = 'opening';
  #opened: Promise<void>;
  #outageSinceMs = 0;
  #isSaidDegraded = false;
  /** How often the backend is to be taken. */
  #taken = 1;
  #figures: Figures | undefined;
  #hasChanged = false;
  #changeUntilMs = 0;
  #cancelProbe = () => {};
  #trying: Promise<void> | undefined;
  #ending: Promise<void> | undefined;

  constructor(options: TierOptions) {
    this.#options = options;
    this.isOwn = options.isOwn;
    this.#gate = new BackendGate({ clock: options.clock, cutOff: (fault) => this.#degrade(fault) });
    const watch = (untilMs: number) => this.#gate.watch(untilMs);
    this.#reads = new TierReads({ watch, read: (keys, isWanted) => this.#read(keys, isWanted) });
    this.#writes = new TierWrites({ watch, write: (group) => this.#write(group) });
    // Nobody waits for what is dropped. While the backend is cut off nothing may be on its way there.
    const drop = (key: string) => this.#state === 'kept' && this.#writes.put(key, null, Infinity);
    const view = { writes: this.#writes, fetched: this.fetched, tags: this.#tags, drop };
    this.view = new TierView({ ...options, ...view });
    this.#note = new OutageNote(options);
    this.#recovery = new TierRecovery({
      ...options,
      tags: this.#tags,
      note: this.#note,
      isOutageElsewhere: () => options.record.isOutageElsewhere(options.namespace),
      apply: (group) => this.#apply(group),
    });
    if (options.copies) this.#recovery.journal.copyAll();
    this.#outageSinceMs = options.clock.monotonicMs();
    this.#opened = this.#try();
  }

  /** Resolves once it is known whether the backend can be reached. */
  get opened(): Promise<void> {
    return this.#opened;
  }

  get isDegraded(): boolean {
    return this.#state === 'degraded';
  }

  /** What the backend holds, where it counts. */
  get figures(): Figures | undefined {
    return this.#figures;
  }

  /** By when a call that began then must have heard of the backend, by the monotonic clock. */
  untilMs(startedMs: number): number {
    return startedMs + this.#options.deadlineMs * 0.8;
  }

  /**
   * Brings what the backend has of these keys into memory. Undefined: all is there that there is, decide at once, before
   * anything else happens. After it resolved it is to be called again. Never rejects.
   */
  prepare(keys: readonly string[], untilMs: number): Promise<void> | undefined {
    if (this.#state === 'opening') return this.#waitForOpening(untilMs);
    if (this.#state !== 'kept') return undefined;
    const missing = this.view.unknown(keys);
    return missing.length === 0 ? undefined : this.#fetch(keys, missing, untilMs);
  }

  /** The same for `view.found`: nothing comes into memory, where it would drive out others of these keys. */
  gather(keys: readonly string[], untilMs: number): Promise<void> | undefined {
    if (this.#state !== 'kept') return this.prepare([], untilMs);
    const missing = keys.filter((key) => !this.view.isAtHand(key));
    return missing.length === 0 ? undefined : this.#fetch(keys, missing, untilMs);
  }

  /**
   * Resolves once whoever gets keys from this process can know all that was decided here: the backend has it, or it is
   * noted that the backend does not. Never rejects.
   */
  async certain(): Promise<void> {
    await this.quiet();
    // Also where that takes long: nobody waits for it but whoever fetches slots.
    while (this.#state === 'degraded' && !this.#note.isNoted) await this.#noted();
  }

  /** Resolves once the backend has, or will not have, all that is on its way there. */
  async quiet(): Promise<void> {
    if (this.#state === 'opening') await this.#opened;
    await this.#writes.written();
  }

  /** Said before a decision: until when its changes must be written. */
  deciding(untilMs: number): void {
    this.#changeUntilMs = untilMs;
    this.#hasChanged = false;
  }

  /** Hears of each change while it is decided. */
  note(change: Change): void {
    switch (change.kind) {
      case 'moved':
        if (change.byHit) return this.#noteHit(change.key, change.expiresAtMs);
        return this.#noteKey(change.key);
      case 'written':
      case 'deleted':
        return this.#noteKey(change.key);
      case 'cleared':
        this.#hasChanged = true;
        return this.#forgetBackend();
      case 'tags-invalidated':
        return this.#noteTags(change.tags, change.version);
      default:
        // An evicted entry lives on in the backend, an expired one ends there by itself.
        return undefined;
    }
  }

  /** Said after a decision: undefined when it can be answered at once, else what has to be waited for. */
  decided(): Promise<Outcome> | undefined {
    if (!this.#hasChanged) return undefined;
    this.#hasChanged = false;
    if (this.#state === 'kept') return this.#writes.written();
    return this.#note.isNoted ? undefined : this.#noted();
  }

  /** A page of keys; undefined when memory must say it. `cursor` says that it is none of the backend's. */
  async page(query: PageQuery): Promise<BackendPage | 'cursor' | undefined> {
    if (this.#state === 'opening') await this.#opened;
    await this.#writes.written();
    if (this.#state !== 'kept') return undefined;
    try {
      return (await this.#gate.attempt(() => this.#options.backend.page(query))) ?? 'cursor';
    } catch {
      return undefined;
    }
  }

  /** More keys are this process's own: the backend is taken again for them, and calls wait for that as at the start. */
  regain(): void {
    if (this.isOwn) return;
    this.#recovery.askOthers();
    this.#takeAgain();
  }

  /**
   * What the backend has and memory has not is void: some of it is another node's now, and it is not known which.
   * Resolves once it is emptied, or cut off.
   */
  distrust(): Promise<void> {
    this.#recovery.journal.voidAll();
    this.#takeAgain();
    return this.#opened;
  }

  #takeAgain(): void {
    this.#taken += 1;
    if (this.#state !== 'kept') return;
    this.#state = 'opening';
    // What was asked before it is taken may be void by then.
    this.#reads.allChanged();
    this.fetched.clear();
    this.#opened = this.#try();
  }

  /** Removes what has ended, and what is above the quota. */
  tidy(): void {
    if (this.#state !== 'kept' || !this.#writes.isEmpty) return;
    void this.#write({ rows: new Map(), tags: new Map(), clears: false }).catch(() => undefined);
  }

  /** Brings what is on its way to the backend, and what it was not told of, and closes it. */
  async close(): Promise<void> {
    if (this.#state === 'opening') await this.#opened;
    // What memory alone has is gone with this process, and a file that was not told of all of it is void.
    const isBack = () => !this.isDegraded;
    if (this.isOwn) await this.#gate.insist(() => this.#try(), isBack);
    while (this.#state === 'kept' && !this.#writes.isEmpty) await this.#writes.written();
    await this.#ending;
    this.isRight = this.#state === 'kept' || this.#note.isNoted;
    await this.abandon();
  }

  /** The namespace has another backend by now: what is here is emptied, if it can be, and closed. */
  async leave(): Promise<void> {
    if (this.#state === 'opening') await this.#opened;
    if (this.#state === 'kept') {
      this.deciding(this.untilMs(this.#options.clock.monotonicMs()));
      this.#forgetBackend();
      await this.#writes.written();
    }
    await this.abandon();
  }

  /** Closes the backend as it is: another node may have become the owner. */
  async abandon(): Promise<void> {
    this.#state = 'closed';
    this.#cancelProbe();
    this.#note.stop();
    this.#reads.abandon();
    this.#writes.abandon(Promise.resolve(noted));
    await this.#options.backend.close().catch(() => undefined);
  }

  async #waitForOpening(untilMs: number): Promise<void> {
    const { clock } = this.#options;
    await within(clock, untilMs - clock.monotonicMs(), this.#opened, undefined);
    if (this.#state === 'opening') this.#degrade(new Error('the backend was not opened in time'));
  }

  #noteKey(key: string): void {
    const { front, nowMs } = this.#options;
    this.#hasChanged = true;
    this.#forgetRead(key);
    if (this.#state === 'kept') this.#writes.put(key, rowOf(front.peek(key, nowMs())), this.#changeUntilMs);
    else this.#recovery.journal.add(key);
  }

  /** A hit that slides is not worth a write and nobody waits for it: the backend's end may be somewhat too early. */
  #noteHit(key: string, expiresAtMs: number): void {
    this.#forgetRead(key);
    if (this.#state !== 'kept') return;
    const record = this.#options.front.peek(key, this.#options.nowMs());
    if (record === undefined || !this.#slid.isWorthWriting(key, expiresAtMs, record.slidingMs)) return;
    this.#writes.put(key, encodeRow(record), this.#changeUntilMs);
  }

  /** What the backend has is void. */
  #forgetBackend(): void {
    this.#reads.allChanged();
    this.fetched.clear();
    this.#tags.clear();
    if (this.#state === 'kept') this.#writes.clear(this.#changeUntilMs);
    else this.#recovery.journal.clear();
  }

  #noteTags(tags: readonly string[], version: number): void {
    this.#hasChanged = true;
    let canJudge = true;
    for (const tag of tags) canJudge = this.#tags.add(tag, version) && canJudge;
    if (!canJudge) this.#forgetBackend();
    else if (this.#state === 'kept') this.#writes.putTags(tags, version, this.#changeUntilMs);
    else for (const tag of tags) this.#recovery.journal.addTag(tag, version);
  }

  async #read(keys: readonly string[], isWanted: (key: string) => boolean): Promise<void> {
    const rows = await this.#gate.attempt(() => this.#options.backend.fetch(keys));
    for (const [at, key] of keys.entries()) if (isWanted(key)) this.fetched.put(key, rows[at]);
  }

  async #fetch(all: readonly string[], missing: readonly string[], untilMs: number): Promise<void> {
    const release = this.fetched.hold(all);
    await this.#reads.fetch(missing, untilMs);
    // By then the one who waited was decided, or holds them again since something else of what he needs was missing.
    this.#options.clock.after(0, release);
  }

  #forgetRead(key: string): void {
    this.#reads.changed(key);
    this.fetched.forget(key);
  }

  async #write(group: WriteGroup): Promise<Outcome> {
    await this.#gate.attempt(() => this.#apply(group));
    return written;
  }

  async #apply(group: WriteGroup): Promise<void> {
    const { backend, front, nowMs, quota, versions } = this.#options;
    const applied = await backend.apply({
      ...group,
      stamp: versions.next(),
      nowMs: nowMs(),
      quota: quota(),
    });
    this.#figures = applied.figures;
    // They were in use and had to go all the same.
    for (const key of applied.evicted)
      if (front.peek(key, nowMs()) !== undefined && this.#writes.lookUp(key) === undefined)
        front.applyChange({ kind: 'deleted', key, version: versions.next() });
  }

  #degrade(fault: unknown): void {
    if (this.#state === 'degraded' || this.#state === 'closed') return;
    this.#state = 'degraded';
    this.#isSaidDegraded = true;
    this.#outageSinceMs = this.#options.clock.monotonicMs();
    this.#gate.fail(fault);
    this.#note.want(true);
    for (const group of this.#writes.abandon(this.#noted())) this.#recovery.takeBack(group);
    this.#reads.abandon();
    this.#options.changed({ degraded: true, fault });
    this.#probeLater();
  }

  #noted(): Promise<Outcome> {
    return this.#note.outcome(this.#options.deadlineMs * 0.2);
  }

  #probeLater(): void {
    this.#cancelProbe = this.#options.clock.after(probeMs, () => void this.#probe());
  }

  async #probe(): Promise<void> {
    // A try that began before may have succeeded meanwhile.
    if (this.#state === 'degraded') await this.#try();
    if (this.#state === 'degraded') this.#probeLater();
  }

  /**
   * Tries to have the backend, one try at a time: what one has taken out to tell the backend another one would not know
   * of. Never rejects.
   */
  #try(): Promise<void> {
    this.#trying ??= this.#gate
      .probe(() => this.#recover())
      .finally(() => {
        this.#trying = undefined;
      });
    return this.#trying;
  }

  async #recover(): Promise<void> {
    // What is on its way there goes first: it may be older than what is noted from now on.
    while (this.#state === 'opening' && !this.#writes.isEmpty) await this.#writes.written();
    let rest: JournalPart | undefined;
    while (rest === undefined && this.#state !== 'closed') {
      const taken = this.#taken;
      this.#figures = (await this.#recovery.run()) ?? this.#figures;
      // Nothing was decided yet. From the first answer on the backend must be believed by whoever comes next.
      if (this.#state === 'opening') await this.#recovery.end();
      // Keys may have come to this process while it took the backend.
      if (taken === this.#taken) rest = this.#recovery.takeRest();
    }
    if (rest === undefined || this.#state === 'closed') return;
    this.#state = 'kept';
    // The last of what changed in an outage. Until the backend has it, whoever comes next has to begin anew.
    const { clock, front, nowMs } = this.#options;
    const untilMs = this.untilMs(clock.monotonicMs());
    for (const key of rest.keys) this.#writes.put(key, rowOf(front.peek(key, nowMs())), untilMs);
    for (const [tag, version] of rest.tags) this.#writes.putTags([tag], version, untilMs);
    this.#ending = this.#endAfter(this.#writes.written());
  }

  /** That the backend is back is said when it has all, and whoever comes next believes it. */
  async #endAfter(brought: Promise<Outcome> | undefined): Promise<void> {
    const { clock, deadlineMs, changed } = this.#options;
    if ((await brought)?.isWritten === false || this.#state !== 'kept') return;
    this.#note.want(false);
    await this.#note.ended(deadlineMs).catch(() => undefined);
    if (this.#state !== 'kept' || !this.#isSaidDegraded) return;
    this.#isSaidDegraded = false;
    changed({ degraded: false, outageMs: clock.monotonicMs() - this.#outageSinceMs });
  }
}
