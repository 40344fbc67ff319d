import { expect, test } from 'vitest';
import { checkLinks, read } from '#services/cli/demo/analyse.ts';

const files = new Set(['/docs/a.md', '/docs/sub/b c.md']);
const look = (text: string, file = '/docs/index.md') =>
  checkLinks(read(text), file, (path) => files.has(path));

test('words are counted, numbers and marks are not', () => {
  expect(look('# Ünï words, don’t 42 stop-here!').words).toBe(4);
});

test('a relative link that leads nowhere is broken', () => {
  expect(look('[a](a.md) [b](b.md)').broken).toEqual(['b.md']);
});

test('fragments and queries do not belong to the path, and escapes are read', () => {
  expect(look('[a](a.md#part) [b](sub/b%20c.md?x=1)').broken).toEqual([]);
});

test('links with a scheme and pure fragments are not looked up', () => {
  expect(look('[w](https://example.org/x) [m](mailto:a@b) [f](#here)')).toMatchObject({
    links: 3,
    broken: [],
  });
});

test('the same text is broken in one folder and whole in another', () => {
  expect(look('[a](a.md)').broken).toEqual([]);
  expect(look('[a](a.md)', '/docs/sub/copy.md').broken).toEqual(['a.md']);
});
