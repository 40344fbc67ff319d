import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { subjectsFor } from '#shared/protocol/subjects.ts';

test('docs/protocol.md has every kind of subject, the internal ones among them', () => {
  const page = readFileSync('docs/protocol.md', 'utf8');
  const subjects = Object.entries(subjectsFor('trivet')).filter(([name]) => name !== 'prefix');
  const missing = subjects.flatMap(([name, of]) => {
    const subject = typeof of === 'string' ? of : (of as (...parts: string[]) => string)('x', 'y', 'z');
    const [, kind = ''] = subject.split('.');
    return new RegExp(String.raw`trivet\.${kind}[.\x60]`).test(page) ? [] : [`${name}: ${subject}`];
  });
  expect(missing).toEqual([]);
});
