import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { NatsServerLaunch } from '#services/cli/nats-server/launch.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trivet-full-disk-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** A real one needs a disk of its own for this: it says again and again what one says whose disk was full. */
const standIn = (says: string, serves: boolean) => `#!/usr/bin/env node
import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
const name = \`\${basename(process.argv[1])}_\${process.pid}.ports\`;
if (${serves}) writeFileSync(join(process.argv.at(-1), name), JSON.stringify({ nats: ['nats://127.0.0.1:1'] }));
setInterval(() => console.error(${JSON.stringify(says)}), 200);
`;

/** Runs the keeper with it until it ends. */
async function kept(says: string, serves: boolean): Promise<{ code: number | null; written: string }> {
  const binary = join(folder, `nats-server-${serves ? 1 : 2}.mjs`);
  await writeFile(binary, standIn(says, serves));
  await chmod(binary, 0o755);
  const launch: NatsServerLaunch = {
    binary,
    configPath: 'none',
    storePath: folder,
    port: 0,
    monitorPort: 0,
    servicePassword: 'none',
    portsPath: folder,
  };
  const keeper = fork(join(import.meta.dirname, '..', '..', '..', 'services', 'cli', 'nats-keeper.ts'), {
    env: { ...process.env, TRIVET_NATS_LAUNCH: JSON.stringify(launch) },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let written = '';
  keeper.stdout?.setEncoding('utf8').on('data', (text: string) => {
    written += text;
  });
  try {
    const [code] = (await once(keeper, 'close', { signal: AbortSignal.timeout(15_000) })) as [number | null];
    return { code, written };
  } finally {
    keeper.kill('SIGTERM');
  }
}

test('a nats-server that was on a full disk and does not recover is ended, for its supervisor to start it again', async () => {
  const { code, written } = await kept(
    '[ERR] JetStream failed to store a msg: no space left on device',
    true,
  );
  expect(code).toBe(1);
  expect(written).toContain('has room again');
});

test('one that could not write down its ports is ended at once: nobody would ever find it', async () => {
  const { code, written } = await kept(
    '[ERR] Error writing ports file (1.ports): no space left on device',
    false,
  );
  expect(code).toBe(1);
  expect(written).toContain('Error writing ports file');
});
