import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'trivet-compile-cache-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const version = (env: Readonly<Record<string, string>>) =>
  execFileSync(process.execPath, ['services/cli/main.ts', '--version'], {
    env: { PATH: process.env['PATH'], HOME: home, ...env },
    encoding: 'utf8',
  });
const kept = (...folder: string[]) => readdirSync(join(home, ...folder), { recursive: true }).length;

test('what a command compiled is kept for the next one, in a folder of its user', () => {
  const first = version({});
  const files = kept('.cache', 'trivet', 'compiled');
  expect(files).toBeGreaterThan(100);
  expect(version({})).toBe(first);
  expect(kept('.cache', 'trivet', 'compiled')).toBe(files);
});

test('it is kept where the settings say, and not at all where nobody may write', () => {
  version({ TRIVET_CACHE_DIR: join(home, 'own') });
  expect(kept('own', 'compiled')).toBeGreaterThan(100);
  version({ NODE_COMPILE_CACHE: join(home, 'node') });
  expect(kept('node')).toBeGreaterThan(100);
  // Below a file there can be no folder, also for root.
  expect(version({ TRIVET_CACHE_DIR: join(process.cwd(), 'LICENSE') })).toMatch(/^\d+\.\d+\.\d+/);
  expect(readdirSync(home).toSorted()).toEqual(['node', 'own']);
});
