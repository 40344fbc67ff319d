import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { rounds } from './test-parts.ts';
import { addUp, countsLine, notRunText, type VitestReport } from './test-report.ts';

const report = (part: Partial<VitestReport>): VitestReport => ({
  numPassedTests: 0,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [],
  ...part,
});

test('the counts of all rounds are added up, and a todo is skipped', () => {
  const counts = addUp([
    report({ numPassedTests: 3, numPendingTests: 1, numTodoTests: 2 }),
    report({ numPassedTests: 4, numFailedTests: 1 }),
  ]);
  expect(countsLine(counts)).toBe('7 passed, 1 failed, 3 skipped');
});

test('a file that fails before its first test is a failure, not silence', () => {
  const broken = { name: 'a.test.ts', status: 'failed', assertionResults: [] };
  expect(addUp([report({ testResults: [broken] })]).failed).toBe(1);
});

test('a file with a failed test is not counted twice', () => {
  const failed = { name: 'a.test.ts', status: 'failed', assertionResults: [{ status: 'failed' }] };
  expect(addUp([report({ numFailedTests: 1, testResults: [failed] })]).failed).toBe(1);
});

test('what was not run is named with its reason and the way to run it', () => {
  const lacks = [{ part: 'Redis', reason: 'not on PATH', how: 'install it' }];
  const text = notRunText([{ kind: 'redis', files: 2, lacks }]);
  for (const part of [
    'NOT RUN',
    'redis: 2 files',
    'Redis is missing: not on PATH',
    'to run them: install it',
  ])
    expect(text).toContain(part);
});

test('every kind of tests that vitest knows is in exactly one round', async () => {
  const config = (await import(pathToFileURL(join(process.cwd(), 'vitest.config.ts')).href)) as {
    default: { test: { projects: readonly { test: { name: string } }[] } };
  };
  const { projects } = config.default.test;
  const inRounds = rounds.flatMap(({ kinds }) => kinds.map(({ name }) => name));
  expect(inRounds.toSorted()).toEqual(projects.map((project) => project.test.name).toSorted());
});
