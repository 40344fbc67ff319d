import { MemorySnapshots } from '#services/queue-broker/memory-snapshots.ts';
import { snapshotStoreContract } from './snapshot-store.contract.ts';

snapshotStoreContract('snapshots in memory', () => {
  const snapshots = new MemorySnapshots();
  return Promise.resolve({ connect: () => snapshots, dispose: () => Promise.resolve() });
});
