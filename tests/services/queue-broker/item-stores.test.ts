import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LmdbStore } from '#services/queue-broker/lmdb-store.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { itemStoreContract } from './item-store.contract.ts';

itemStoreContract('rows in LMDB', async () => {
  const path = await mkdtemp(join(tmpdir(), 'trivet-rows-'));
  let store = new LmdbStore(path);
  return {
    store,
    reopen: async () => {
      await store.close();
      store = new LmdbStore(path);
      return store;
    },
    dispose: async () => {
      await store.close();
      await rm(path, { recursive: true, force: true });
    },
  };
});

itemStoreContract('rows in memory', () => {
  const store = new MemoryStore();
  return Promise.resolve({ store, reopen: () => Promise.resolve(store), dispose: () => store.close() });
});
