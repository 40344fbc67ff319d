import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trivet-demo-input-'));
  await mkdir(join(folder, 'sub'));
  await writeFile(
    join(folder, 'a.md'),
    '# One two\n\n[good](sub/b.md) [bad](nowhere.md) [web](https://example.org)\n',
  );
  await writeFile(join(folder, 'sub', 'b.md'), 'three four [up](../a.md)\n');
  await writeFile(join(folder, 'copy.md'), 'three four [up](../a.md)\n');
  await writeFile(join(folder, 'ignored.txt'), 'not Markdown');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Retries, files that fail on purpose and the second pass are real: only the folder is small. */
test('the demo does its job on a folder and ends by itself with 0', { timeout: 120_000 }, async () => {
  const { stdout } = await run(process.execPath, ['services/cli/demo.ts', folder]);
  expect(stdout).toContain('3 Markdown files');
  // Two passes over three files; three troubles that fail in three attempts each.
  expect(stdout).toMatch(/items done\s+6\n/);
  expect(stdout).toMatch(/items failed\s+3\n/);
  expect(stdout).toMatch(/retries\s+6\n/);
  expect(stdout).toMatch(/analyse success\s+40\.00 % of 15/);
  expect(stdout).toMatch(/words, broken links\s+\d+, 2\n/);
  expect(stdout).toMatch(/deleted-after-publish\.md: ENOENT.*3 attempts/);
  expect(stdout).toMatch(/not-utf8\.md: .*3 attempts/);
  expect(stdout).toMatch(/a-directory\.md: EISDIR.*3 attempts/);
  expect(stdout).toMatch(/cache hit rate\s+\d/);
});

test('a folder that is not there is bad usage', async () => {
  await expect(
    run(process.execPath, ['services/cli/demo.ts', join(folder, 'missing')]),
  ).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('is not a folder') as string,
  });
});
