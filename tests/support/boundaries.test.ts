import { expect, test } from 'vitest';
import { breachesOf, findBreaches } from './boundaries.ts';

test('the tree holds its boundaries', () => {
  expect(findBreaches(process.cwd())).toEqual([]);
});

test.each([
  ['services/queue-broker/core/a.ts', "import { x } from 'node:fs';"],
  ['services/queue-broker/core/a.ts', "import { x } from '#shared/runtime/clock.ts';"],
  ['services/queue-broker/core/a.ts', 'const at = Date.now();'],
  ['services/queue-broker/core/a.ts', 'const r = Math.random();'],
  ['services/queue-broker/a.ts', "import { x } from '../cache-node/a.ts';"],
  ['services/queue-broker/a.ts', "import { x } from '#services/cache-node/a.ts';"],
  ['services/queue-broker/a.ts', "import { x } from '#tests/support/a.ts';"],
  ['services/gateway/a.ts', "import { testTrivet } from 'trivet/testing';"],
  ['services/queue-broker/a.ts', "import { connect } from '@nats-io/transport-node';"],
  ['services/queue-broker/a.ts', "import { open } from 'lmdb';"],
  ['shared/protocol/a.ts', "import { x } from '#shared/runtime/clock.ts';"],
  ['shared/runtime/a.ts', "import { x } from '#shared/client/client.ts';"],
  ['shared/client/a.ts', "const x = await import('#services/gateway/main.ts');"],
])('a planted breach in %s is caught: %s', (file, line) => {
  expect(breachesOf(file, `// first line\n${line}\n`)).toMatchObject([{ file, line: 2 }]);
});

test('a comment may speak of the clock', () => {
  expect(breachesOf('services/cache-node/core/a.ts', '// Date.now() would make this impure.')).toEqual([]);
});
