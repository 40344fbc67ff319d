import { type KV, JetStreamApiError, type Nats, StorageType } from './nats.ts';
import type { LeaseRecord, Owner } from './owner-lease.ts';

const key = 'owner';

/** JetStream's error for a write over another revision than the last one. */
const wrongLastSequence = 10_071;

export interface KvLeaseRecordOptions {
  readonly bucket: string;
  readonly replicas: number;
}

/** The lease in a KV bucket. The bucket is made when it is missing, also when it went missing. */
export function kvLeaseRecord(nats: Nats, options: KvLeaseRecordOptions): LeaseRecord {
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
    read: () =>
      withBucket(async (kv) => {
        const entry = await kv.get(key);
        if (entry === null) return { owner: undefined, revision: 0 };
        return {
          owner: entry.operation === 'PUT' ? ownerOf(entry.string()) : undefined,
          revision: entry.revision,
        };
      }),
    write: (owner, revision) =>
      withBucket(async (kv) => {
        try {
          return await kv.put(key, JSON.stringify(owner), { previousSeq: revision });
        } catch (error) {
          if (error instanceof JetStreamApiError && error.code === wrongLastSequence) return undefined;
          throw error;
        }
      }),
    remove: (revision) => withBucket((kv) => kv.delete(key, { previousSeq: revision })),
  };
}

/** What stands there, where a process of ours wrote it: nats-server can be made to write its PubAck here (README of cli). */
function ownerOf(text: string): Owner | undefined {
  try {
    const { node, instance } = JSON.parse(text) as Partial<Owner>;
    return typeof node === 'string' && typeof instance === 'string' ? { node, instance } : undefined;
  } catch {
    // Not ours, then: nobody owns it.
    return undefined;
  }
}
