import { expect, test } from 'vitest';
import { unknownVariables } from '#services/cli/unknown-variables.ts';

test('variables that begin as ours do and that nobody reads are named, and no other ones', () => {
  const env = {
    TRIVET_DATA_DIR: '/data',
    TRIVET_PARTITION: '8',
    TRIVET_DATA: '/data',
    TRIVET_CACHE_BYTES: '1',
    TRIVET_AUDIT_KEY_FILE: '/key',
    TRIVET_HTTP_URL: 'http://127.0.0.1:8420',
    TRIVET_TEST_REDIS_URL: 'redis://127.0.0.1',
    NATS_URL: 'nats://127.0.0.1',
    OTHER_TRIVET_DATA: 'x',
  };
  expect(unknownVariables(env)).toEqual(['TRIVET_DATA_DIR', 'TRIVET_PARTITION']);
});
