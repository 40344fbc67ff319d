import { type KV, JetStreamApiError, type Nats, StorageType } from './nats.ts';

/** JetStream's error for a write over another revision than the last one. */
const wrongLastSequence = 10_071;

export interface KvRecordsOptions {
  readonly bucket: string;
  readonly replicas: number;
}

/** Texts under keys that are only ever written over the revision that was read. */
export interface Records {
  /** The text, undefined where none is; and the revision to write over: 0 when nothing was ever written. */
  read(key: string): Promise<{ readonly text: string | undefined; readonly revision: number }>;
  /** The new revision, or undefined when the record is no longer at `revision`. Throws when the outcome is unknown. */
  write(key: string, text: string, revision: number): Promise<number | undefined>;
  remove(key: string, revision: number): Promise<void>;
  /** Keys that have a text. */
  keys(filter: string): Promise<readonly string[]>;
}

/** Records in a KV bucket. The bucket is made when it is missing, also when it went missing. */
export function kvRecords(nats: Nats, options: KvRecordsOptions): Records {
  let opened: KV | undefined;

  async function withBucket<Value>(act: (kv: KV) => Promise<Value>): Promise<Value> {
    try {
      opened ??= await nats.kvm.create(options.bucket, {
        history: 1,
        replicas: options.replicas,
        storage: StorageType.File,
      });
      return await act(opened);
    } catch (error) {
      opened = undefined;
      throw error;
    }
  }

  return {
    read: (key) =>
      withBucket(async (kv) => {
        const entry = await kv.get(key);
        if (entry === null) return { text: undefined, revision: 0 };
        return { text: entry.operation === 'PUT' ? entry.string() : undefined, revision: entry.revision };
      }),
    write: (key, text, revision) =>
      withBucket(async (kv) => {
        try {
          return await kv.put(key, text, { previousSeq: revision });
        } catch (error) {
          if (error instanceof JetStreamApiError && error.code === wrongLastSequence) return undefined;
          throw error;
        }
      }),
    remove: (key, revision) => withBucket((kv) => kv.delete(key, { previousSeq: revision })),
    keys: (filter) =>
      withBucket(async (kv) => {
        const keys: string[] = [];
        for await (const key of await kv.keys(filter)) keys.push(key);
        return keys;
      }),
  };
}
