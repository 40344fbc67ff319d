import { type KV, type Nats, StorageType } from '#shared/runtime/nats.ts';
import type { NamespaceSettings } from './core/namespace-settings.ts';
import type { TierNote, TierRecord } from './tier-record.ts';

/** What is durable of a namespace beside its entries. */
export interface KeptSettings {
  readonly settings: NamespaceSettings;
  /** Rows of its backend with a stamp up to this one are from before it had this backend. */
  readonly backendSince: number;
}

export interface NamespaceRecordsOptions {
  readonly bucket: string;
  readonly replicas: number;
  /** The process whose backends the notes are about. */
  readonly node: string;
}

const settingsKey = (namespace: string): string => `settings.${namespace}`;
const tierKey = (namespace: string, node: string): string =>
  `tier.${namespace}.${Buffer.from(node).toString('base64url')}`;

/** Settings of namespaces and notes on their backends, in a KV bucket that is made when it is missing. */
export class NamespaceRecords implements TierRecord {
  readonly #nats: Nats;
  readonly #options: NamespaceRecordsOptions;
  #opened: KV | undefined;

  constructor(nats: Nats, options: NamespaceRecordsOptions) {
    this.#nats = nats;
    this.#options = options;
  }

  /** The settings of all namespaces that were ever configured. */
  async allSettings(): Promise<ReadonlyMap<string, KeptSettings>> {
    return this.#withBucket(async (kv) => {
      const names: string[] = [];
      for await (const key of await kv.keys(settingsKey('*'))) names.push(key.slice(settingsKey('').length));
      const found = await Promise.all(
        names.map(async (name) => [name, await readJson<KeptSettings>(kv, settingsKey(name))] as const),
      );
      return new Map(found.filter((one): one is [string, KeptSettings] => one[1]?.settings !== undefined));
    });
  }

  async writeSettings(namespace: string, kept: KeptSettings): Promise<void> {
    await this.#withBucket((kv) => kv.put(settingsKey(namespace), JSON.stringify(kept)));
  }

  async read(namespace: string): Promise<TierNote | undefined> {
    return this.#withBucket((kv) => readJson<TierNote>(kv, tierKey(namespace, this.#options.node)));
  }

  async isOutageElsewhere(namespace: string): Promise<boolean> {
    const own = tierKey(namespace, this.#options.node);
    return this.#withBucket(async (kv) => {
      const others: string[] = [];
      for await (const key of await kv.keys(`tier.${namespace}.*`)) if (key !== own) others.push(key);
      const notes = await Promise.all(others.map((key) => readJson<TierNote>(kv, key)));
      return notes.some((note) => note?.outage === true);
    });
  }

  async write(namespace: string, note: TierNote): Promise<void> {
    await this.#withBucket((kv) => kv.put(tierKey(namespace, this.#options.node), JSON.stringify(note)));
  }

  async #withBucket<Value>(act: (kv: KV) => Promise<Value>): Promise<Value> {
    const { bucket, replicas } = this.#options;
    try {
      this.#opened ??= await this.#nats.kvm.create(bucket, {
        history: 1,
        replicas,
        storage: StorageType.File,
      });
      return await act(this.#opened);
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }
}

/** What stands there, where a process of ours wrote it. */
async function readJson<Value>(kv: KV, key: string): Promise<Value | undefined> {
  const entry = await kv.get(key);
  if (entry === null || entry.operation !== 'PUT') return undefined;
  try {
    return JSON.parse(entry.string()) as Value;
  } catch {
    return undefined;
  }
}
