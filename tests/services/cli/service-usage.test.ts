import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const service = (...args: readonly string[]) => run(process.execPath, ['services/cli/service.ts', ...args]);

test.each([[['--help']], [['-h']], [['gateway', '--help']]])(
  '%j shows how a service is run',
  async (args) => {
    const { stdout, stderr } = await service(...args);
    expect(stdout).toMatch(/^npm run service -- <name> \[--config FILE\]\n/);
    expect(stdout).toContain('queue-broker, cache-node, telemetry-collector, gateway, auth-callout');
    expect(stderr).toBe('');
  },
);

test('what is no option is refused by its name', async () => {
  await expect(service('gateway', '--colour')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--colour is not a known option') as string,
  });
});
