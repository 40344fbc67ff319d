import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';

const run = promisify(execFile);
let folder: string;
let server: RunningNatsServer;

beforeEach(async () => {
  server = await startNatsServer();
  folder = await mkdtemp(join(tmpdir(), 'trivet-outside-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
  await server?.stop();
});

test('a project that has installed this folder, as npm links it, uses the client, in TypeScript and in JavaScript', async () => {
  await mkdir(join(folder, 'node_modules'));
  await symlink(process.cwd(), join(folder, 'node_modules', 'trivet'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  const lines = [
    `import { connect } from 'trivet';`,
    `import { KeyvTrivet } from 'trivet/keyv';`,
    `import { testTrivet } from 'trivet/testing';`,
    `const trivet = await connect();`,
    `await trivet.close();`,
    `console.log(typeof KeyvTrivet, typeof testTrivet);`,
  ];
  await writeFile(join(folder, 'main.js'), lines.join('\n'));
  await writeFile(join(folder, 'main.ts'), [...lines, 'const typed: number = 1; void typed;'].join('\n'));
  for (const file of ['main.js', 'main.ts']) {
    const env = { ...process.env, NATS_URL: server.url };
    const { stdout } = await run(process.execPath, [join(folder, file)], { cwd: folder, env });
    expect(stdout).toBe('function function\n');
  }
});
