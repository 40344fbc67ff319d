import { type Refusal, type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { type Clock, inTime, within } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { BackendType, Backends } from './backends.ts';
import type { Namespace } from './core/namespace.ts';
import { type NamespaceSettings, quotaOf } from './core/namespace-settings.ts';
import type { KeptSettings, NamespaceRecords } from './namespace-records.ts';
import { Tier } from './tier.ts';

export interface TiersOptions {
  /** Name of the process, stable over restarts. */
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly nowMs: () => number;
  readonly deadlineMs: number;
  readonly backends: Backends;
  readonly records: NamespaceRecords;
  readonly bornMs: () => number;
  /** Whether this node answers for the key now. */
  readonly isMine: (namespace: string, key: string) => boolean;
  /** Settings that are known already. */
  readonly kept: ReadonlyMap<string, KeptSettings>;
  /** Rows of this node's files up to this stamp are void: other nodes answered for their keys since. */
  readonly ownSince: number;
  readonly versions: { readonly next: () => number; readonly raise: (version: number) => void };
  /** Memory stands in for the backend of the namespace, or no longer does. */
  readonly changed: (namespace: Namespace) => void;
}

/** How long the record of settings may take to be read or written, in milliseconds. */
const recordMsMax = 5_000;
const readAgainMs = 250;
/** How long a new owner waits for its backends before it answers, in milliseconds. */
const openedMsMax = 2_000;
/** How often backends remove what has ended, in milliseconds. */
const tidyMs = 1_000;

/** The namespaces of a node that have a backend, and the settings of all of them, which outlive the node. */
export class Tiers {
  readonly #options: TiersOptions;
  readonly #tiers = new Map<string, Tier>();
  readonly #leaving = new Map<string, Promise<void>>();
  #kept: ReadonlyMap<string, KeptSettings>;
  #configuring: Promise<unknown> = Promise.resolve();
  #cancelTidy = () => {};
  #isClosed = false;
  #share = 1;

  constructor(options: TiersOptions) {
    this.#options = options;
    this.#kept = options.kept;
    this.#tidyLater();
  }

  /** The settings of all namespaces that were configured. */
  get kept(): ReadonlyMap<string, KeptSettings> {
    return this.#kept;
  }

  /** Reads the settings, however often that takes; false when it was closed before it succeeded. */
  async recover(): Promise<boolean> {
    const { records, clock, log } = this.#options;
    while (!this.#isClosed) {
      try {
        this.#kept = await this.#inTime(records.allSettings());
        return !this.#isClosed;
      } catch (error) {
        log.warn({ err: error }, 'the settings of the namespaces could not be read, trying again');
        await new Promise<void>((resolve) => {
          clock.after(readAgainMs, resolve);
        });
      }
    }
    return false;
  }

  /** Namespaces that have a backend, by what is kept of their settings. */
  get names(): readonly string[] {
    return [...this.#kept].filter(([, { settings }]) => settings.backend !== 'memory').map(([name]) => name);
  }

  /** Resolves once it is known of every backend whether it can be reached, or when that takes too long. */
  async opened(): Promise<void> {
    const { clock } = this.#options;
    const opened = Promise.all([...this.#tiers.values()].map((tier) => tier.opened));
    await within(clock, openedMsMax, opened, undefined);
  }

  settingsOf(namespace: string): NamespaceSettings | undefined {
    return this.#kept.get(namespace)?.settings;
  }

  /** What stands behind the namespace; undefined when nothing does. Opens it when this is the first question. */
  of(namespace: Namespace): Tier | undefined {
    const { backend } = namespace.settings;
    if (backend === 'memory') return undefined;
    return this.#tiers.get(namespace.name) ?? this.#open(namespace, backend, false);
  }

  /** Keeps the settings, and then lets them hold: one after the other. */
  configure(namespace: Namespace, settings: Partial<NamespaceSettings>): Promise<Refusal | undefined> {
    const turn = this.#configuring.then(() => this.#configure(namespace, settings));
    this.#configuring = turn.catch(() => undefined);
    return turn;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Reads the settings again, of one namespace or of all: another node may have changed them. */
  async refresh(namespaceOf: (name: string) => Namespace | undefined, only?: string): Promise<void> {
    const kept = await this.#inTime(this.#options.records.allSettings());
    for (const [name, { settings, backendSince }] of kept) {
      if (only !== undefined && only !== name) continue;
      this.#kept = new Map([...this.#kept, [name, { settings, backendSince }]]);
      const namespace = namespaceOf(name);
      if (namespace === undefined || this.#isClosed) continue;
      const former = namespace.settings.backend;
      namespace.configure(settings, this.#options.nowMs());
      if (former !== settings.backend) this.#replace(namespace, former);
    }
  }

  /**
   * What part of the keys the files of this node hold: their quotas are that part of what was configured.
   * @param mayShrink  false while it has not got all that is its own
   */
  setShare(share: number, mayShrink: boolean): void {
    if (mayShrink || share > this.#share) this.#share = share;
  }

  /** This node answers for more keys: those in backends that nodes share have to be taken. */
  regain(): void {
    for (const tier of this.#tiers.values()) tier.regain();
  }

  /** Brings everything to the backends, and closes them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTidy();
    await Promise.all([...this.#tiers.values()].map((tier) => tier.close()));
  }

  /** Closes the backends as they are: another node may have become the owner. */
  async abandon(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTidy();
    await Promise.all([...this.#tiers.values()].map((tier) => tier.abandon()));
  }

  async #configure(namespace: Namespace, changed: Partial<NamespaceSettings>): Promise<Refusal | undefined> {
    const { records, versions, nowMs } = this.#options;
    const former = namespace.settings.backend;
    const settings = { ...namespace.settings, ...changed };
    const { backend } = settings;
    const reached = backend === former ? accept(undefined) : await this.#reach(namespace, backend);
    if (!reached.ok) return reached.error;
    const since = this.#kept.get(namespace.name)?.backendSince ?? 0;
    const kept = { settings, backendSince: backend === former ? since : versions.next() };
    try {
      await this.#inTime(records.writeSettings(namespace.name, kept));
    } catch {
      return refuse('unavailable', 'the settings could not be kept, and are as they were: try again').error;
    }
    if (this.#isClosed) return refuse('unavailable', 'this node does not own the cache any more').error;
    this.#kept = new Map([...this.#kept, [namespace.name, kept]]);
    namespace.configure(changed, nowMs());
    if (backend !== former) this.#replace(namespace, former);
    return undefined;
  }

  async #reach(namespace: Namespace, backend: NamespaceSettings['backend']): Promise<Result<undefined>> {
    if (backend === 'memory') return accept(undefined);
    try {
      // The file of an earlier time is being given up.
      await this.#leaving.get(namespace.name);
      await this.#inTime(this.#options.backends.reach(backend));
      return accept(undefined);
    } catch {
      const place = this.#options.backends.placeOf(backend);
      return refuse('unavailable', `this node cannot reach ${place}`, { field: 'backend' });
    }
  }

  /** What memory has goes into the new backend; what only the former one has is given up. */
  #replace(namespace: Namespace, former: NamespaceSettings['backend']): void {
    const { name, settings } = namespace;
    const old = this.#tiers.get(name);
    this.#tiers.delete(name);
    namespace.noteTo(undefined);
    namespace.behind = undefined;
    this.#setDegraded(namespace, false);
    const left = old === undefined ? Promise.resolve() : old.leave();
    const removed = left.then(() => (former === 'file' ? this.#options.backends.remove(name) : undefined));
    const done = removed.catch((error: unknown) =>
      this.#options.log.warn({ err: error, namespace: name }, 'the former backend was not emptied'),
    );
    this.#leaving.set(name, done);
    if (settings.backend !== 'memory') this.#open(namespace, settings.backend, true);
  }

  #open(namespace: Namespace, type: BackendType, copies: boolean): Tier {
    const { backends, records, log } = this.#options;
    const { name, residents } = namespace;
    const isInUse = (key: string) => residents.peek(key, this.#options.nowMs()) !== undefined;
    const tier: Tier = new Tier({
      ...this.#options,
      namespace: name,
      backend: backends.make(type, name, isInUse),
      isOwn: type === 'file',
      front: residents,
      record: records,
      // A file is this node's alone: what another node answers for now is deleted there.
      isMine: (key) => type === 'file' || this.#options.isMine(name, key),
      quota: () => quotaOf(namespace.settings, this.#share),
      since: Math.max(this.#kept.get(name)?.backendSince ?? 0, type === 'file' ? this.#options.ownSince : 0),
      copies,
      changed: (state) => {
        if (this.#tiers.get(name) !== tier) return;
        if (state.degraded)
          log.warn({ namespace: name, backend: type, err: state.fault }, 'memory stands in');
        else log.info({ namespace: name, backend: type, outageMs: state.outageMs }, 'the backend is back');
        this.#setDegraded(namespace, state.degraded);
      },
    });
    this.#tiers.set(name, tier);
    namespace.noteTo((change) => tier.note(change));
    namespace.behind = () => tier.figures;
    return tier;
  }

  #setDegraded(namespace: Namespace, isDegraded: boolean): void {
    if (namespace.isDegraded === isDegraded) return;
    namespace.isDegraded = isDegraded;
    namespace.events.degraded(isDegraded);
    this.#options.changed(namespace);
  }

  #tidyLater(): void {
    this.#cancelTidy = this.#options.clock.after(tidyMs, () => {
      for (const tier of this.#tiers.values()) tier.tidy();
      this.#tidyLater();
    });
  }

  #inTime<T>(action: Promise<T>): Promise<T> {
    return inTime(this.#options.clock, recordMsMax, action);
  }
}
