import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const trivet = (...args: readonly string[]) => run(process.execPath, ['services/cli/main.ts', ...args]);

test.each([
  [['telemetry', 'history'], '(trivet telemetry history --help says more)'],
  [['enqueue'], '(trivet enqueue --help says more)'],
  [['cache', 'nothing'], '(trivet cache --help says more)'],
  [['nothing'], '(trivet --help says more)'],
])('after %j the help of that command is named', async (args, pointer) => {
  await expect(trivet(...args)).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining(pointer) as string,
  });
});
