import { type KvRecordsOptions, type Records, kvRecords } from './kv-records.ts';
import type { Nats } from './nats.ts';
import type { LeaseRecord, Owner } from './owner-lease.ts';

/** The one lease of a KV bucket. */
export const kvLeaseRecord = (nats: Nats, options: KvRecordsOptions): LeaseRecord =>
  leaseRecord(kvRecords(nats, options), 'owner');

/** A lease under a key of its own. */
export const leaseRecord = (records: Records, key: string): LeaseRecord => ({
  read: async () => {
    const { text, revision } = await records.read(key);
    return { owner: text === undefined ? undefined : ownerOf(text), revision };
  },
  write: (owner, revision) => records.write(key, JSON.stringify(owner), revision),
  remove: (revision) => records.remove(key, revision),
});

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
