import type { EnqueueOptions } from './queue-schemas.ts';

// What the client needs of a queue's protocol. Without the schemas: a library of 500 files that it would wait for.

/** The four priorities, most urgent first; their index is their band. */
export const priorities = ['critical', 'high', 'normal', 'low'] as const;

/** The states of an item. */
export const states = [
  'scheduled',
  'blocked',
  'pending',
  'processing',
  'retry',
  'done',
  'failed',
  'cancelled',
] as const;

/** Why an item failed whose `expires` was over. */
export const expiredMessage = 'it grew too old before it was handed out';

/** What an `enqueue` means whose key stands for an item already. */
export const onDuplicates = ['keep', 'replace', 'debounce'] as const;

/** Which header carries which option where the body is the payload (docs/protocol.md, Durable publish). */
export const optionHeaders = {
  priority: 'Trivet-Priority',
  delay: 'Trivet-Delay',
  runAt: 'Trivet-Run-At',
  maxAttempts: 'Trivet-Max-Attempts',
  backoff: 'Trivet-Backoff',
  timeout: 'Trivet-Timeout',
  expires: 'Trivet-Expires',
  group: 'Trivet-Group',
  key: 'Nats-Msg-Id',
  onDuplicate: 'Trivet-On-Duplicate',
} as const satisfies Partial<Record<keyof EnqueueOptions, string>>;
