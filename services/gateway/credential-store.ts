import type { Clock } from '#shared/runtime/clock.ts';
import { JetStreamApiError, type KV, type Nats } from '#shared/runtime/nats.ts';
import type { CredentialRecord, LastUse, SubjectRecord, TokenRecord } from './core/credential-records.ts';

export interface CredentialStoreOptions {
  readonly nats: Nats;
  readonly clock: Clock;
  /** Names of the buckets. */
  readonly bucket: string;
  readonly usesBucket: string;
  readonly replicas: number;
}

/** A key, and the revision of the bucket that has it so. */
export interface KeptToken {
  readonly record: TokenRecord;
  readonly revision: number;
}

/** JetStream's code for a write over something that is not the last any more. */
const wrongLastSequence = 10_071;

/** A use is written down at most this often for each key, in milliseconds: it says "lately", not "how often". */
const useMs = 60_000;

/**
 * API keys and revoked subjects in a KV bucket, all of them mirrored in memory by a watch: a request is checked without
 * asking anybody, and a revocation is here as soon as NATS has told of it.
 */
export class CredentialStore {
  readonly #options: CredentialStoreOptions;
  readonly #records = new Map<string, CredentialRecord>();
  readonly #noted = new Map<string, number>();
  readonly #listeners: (() => void)[] = [];
  #kv: KV | undefined;
  #uses: KV | undefined;
  #stop = (): void => undefined;

  constructor(options: CredentialStoreOptions) {
    this.#options = options;
  }

  /** Opens the buckets and reads them whole. */
  async open(): Promise<void> {
    const { nats, bucket, usesBucket, replicas } = this.#options;
    this.#kv = await nats.kvm.create(bucket, { history: 1, replicas });
    this.#uses = await nats.kvm.create(usesBucket, { history: 1, replicas });
    const { values } = await this.#kv.status();
    await new Promise<void>((resolve, reject) => {
      this.#follow(values === 0, resolve).catch(reject);
    });
  }

  async #follow(isEmpty: boolean, isRead: () => void): Promise<void> {
    const watch = await this.#open().watch();
    this.#stop = () => watch.stop();
    if (isEmpty) isRead();
    for await (const entry of watch) {
      if (entry.operation === 'PUT') this.#keep(entry.key, entry.string());
      else this.#records.delete(entry.key);
      for (const listener of this.#listeners) listener();
      // The last of what was there when the watch began.
      if (entry.delta === 0) isRead();
    }
  }

  #keep(key: string, text: string): void {
    try {
      this.#records.set(key, JSON.parse(text) as CredentialRecord);
    } catch (error) {
      // What cannot be read proves nobody.
      this.#records.delete(key);
      this.#options.nats.log?.error({ err: error, key }, 'a credential cannot be read');
    }
  }

  /** Called after each change that another process or this one has made. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  token(id: string): TokenRecord | undefined {
    const record = this.#records.get(tokenKey(id));
    return record?.kind === 'token' ? record : undefined;
  }

  tokens(): readonly TokenRecord[] {
    return [...this.#records.values()].filter((record) => record.kind === 'token');
  }

  /** JWTs of this principal are good only if they were issued later; epoch milliseconds. */
  revokedBeforeMs(principalId: string): number {
    const record = this.#records.get(subjectKey(principalId));
    return record?.kind === 'subject' ? record.revokedBeforeMs : 0;
  }

  revokedSubjects(): readonly string[] {
    return [...this.#records.keys()]
      .filter((key) => key.startsWith('subject.'))
      .map((key) => key.slice('subject.'.length));
  }

  /** Writes it, and knows it at once here, before the watch brings it back. */
  async write(record: TokenRecord): Promise<void> {
    await this.#put(tokenKey(record.id), record);
  }

  /** A key as it is kept now, for `replace`; the mirror may lag behind. */
  async current(id: string): Promise<KeptToken | undefined> {
    const entry = await this.#open().get(tokenKey(id));
    if (entry?.operation !== 'PUT') return undefined;
    return { record: entry.json<TokenRecord>(), revision: entry.revision };
  }

  /** Writes it over the one of this revision. @returns false when somebody else has changed that one since */
  async replace(record: TokenRecord, revision: number): Promise<boolean> {
    try {
      await this.#open().update(tokenKey(record.id), JSON.stringify(record), revision);
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === wrongLastSequence) return false;
      throw error;
    }
    this.#know(tokenKey(record.id), record);
    return true;
  }

  /** Removes a key that nobody was told of. */
  async forget(id: string): Promise<void> {
    await this.#open().purge(tokenKey(id));
    this.#records.delete(tokenKey(id));
  }

  async writeSubject(principalId: string, record: SubjectRecord): Promise<void> {
    await this.#put(subjectKey(principalId), record);
  }

  async #put(key: string, record: CredentialRecord): Promise<void> {
    await this.#open().put(key, JSON.stringify(record));
    this.#know(key, record);
  }

  #know(key: string, record: CredentialRecord): void {
    this.#records.set(key, record);
    for (const listener of this.#listeners) listener();
  }

  /** Writes down that a key was used, now and then. */
  noteUse(id: string, from: string): void {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - (this.#noted.get(id) ?? 0) < useMs) return;
    this.#noted.set(id, nowMs);
    const use: LastUse = { atMs: nowMs, from };
    this.#uses?.put(id, JSON.stringify(use)).catch((error: unknown) => {
      this.#options.nats.log?.warn({ err: error, token: id }, 'the use of a token was not written down');
    });
  }

  async lastUse(id: string): Promise<LastUse | undefined> {
    const entry = await this.#uses?.get(id);
    return entry?.operation === 'PUT' ? entry.json<LastUse>() : undefined;
  }

  close(): void {
    this.#stop();
  }

  #open(): KV {
    if (this.#kv === undefined) throw new Error('the credentials were used before they were opened');
    return this.#kv;
  }
}

const tokenKey = (id: string): string => `token.${id}`;
const subjectKey = (principalId: string): string => `subject.${principalId}`;
