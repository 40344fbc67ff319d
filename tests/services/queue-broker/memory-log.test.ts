import { MemoryLog } from '#services/queue-broker/memory-log.ts';
import type { LogRecord } from '#services/queue-broker/partition-log.ts';
import { partitionLogContract } from './partition-log.contract.ts';

partitionLogContract('the log in memory', () => {
  const records = new Map<number, LogRecord>();
  const log = new MemoryLog(records);
  return Promise.resolve({
    connect: () => Promise.resolve(log),
    wait: (promise) => promise,
    drop: (sequence) => {
      records.delete(sequence);
      return Promise.resolve();
    },
    dispose: () => Promise.resolve(),
  });
});
