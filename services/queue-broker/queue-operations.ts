import type { QueueOperation } from '#shared/protocol/queue-schemas.ts';
import { adminOperations } from './admin-operations.ts';
import { editingOperations } from './editing-operations.ts';
import { flowOperations } from './flow-operations.ts';
import { leasedOperations } from './leased-operations.ts';
import { logOperations } from './log-operations.ts';
import type { Operation } from './queue-request.ts';
import { readingOperations } from './reading-operations.ts';
import { removingOperations } from './removing-operations.ts';
import { resultOperations } from './result-operations.ts';
import { settingsOperations } from './settings-operations.ts';

/** Every operation whose body is a plain request; `enqueue`, `enqueue-many` and `dequeue` have paths of their own. */
export const queueOperations: Readonly<
  Record<Exclude<QueueOperation, 'enqueue' | 'enqueue-many' | 'dequeue'>, Operation>
> = {
  ...leasedOperations,
  ...readingOperations,
  ...flowOperations,
  ...adminOperations,
  ...editingOperations,
  ...resultOperations,
  ...removingOperations,
  ...settingsOperations,
  ...logOperations,
};
