import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('the tests on docs/testing.md run, hold, and end by themselves', async () => {
  const page = readFileSync('docs/testing.md', 'utf8');
  const blocks = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map((block) => block[1] ?? '');
  expect(blocks).toHaveLength(2);
  // Both files as one program: what the second imports of the first is there already.
  const program = blocks.join('\n').replace(/^import .* from '\.\/mailer\.ts';$/m, '');
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--test-reporter=tap', '--input-type=module-typescript', '--eval', program],
    { env: { ...process.env, NODE_OPTIONS: '' }, timeout: 25_000 },
  );
  expect(stdout).toContain('# pass 2');
  expect(stdout).toContain('# fail 0');
  expect(stderr).not.toContain('Error');
});
