import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runCommand } from '#services/cli/nats-server/run-command.ts';
import { version } from '#shared/runtime/version.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

// What `npm run package` makes, installed by npm into the project of somebody else.

vi.setConfig({ hookTimeout: 240_000 });

const root = process.cwd();

const program = `
import { connect, type Trivet } from 'trivet';
import { KeyvTrivet } from 'trivet/keyv';
import { testTrivet } from 'trivet/testing';

interface Letter {
  readonly to: string;
}

const trivet: Trivet = await connect();
const letters = trivet.queue<Letter, string>('letters');
// The lease is shorter than the handler takes: the thread that renews it is a file of the package.
trivet.worker<Letter, string>(
  'letters',
  async ({ to }) => {
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    return to.toUpperCase();
  },
  { lease: '1s' },
);
const { id } = await letters.add({ to: 'ada' });
console.log((await letters.result(id, { wait: '20s' })).result);
const users = trivet.cache<string>('users');
await new KeyvTrivet(users).set('ada', 'through Keyv', 60_000);
console.log(await users.get('ada'));
await trivet.telemetry.event({ name: 'said' });
await trivet.close();

const memory = await testTrivet();
await memory.queue<Letter>('letters').add({ to: 'grace' });
console.log((await memory.items('letters')).length);
await memory.close();
`;

let nats: RunningNatsServer;
let services: ServiceProcess[];
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'trivet-project-'));
  await done('npm', ['run', 'package', '--', project], root);
  await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module' }));
  // What it needs is what npm fetched for the repository.
  const tarball = `./trivet-${version}.tgz`;
  await done('npm', ['install', '--prefer-offline', '--ignore-scripts', tarball]);
  await writeFile(join(project, 'program.ts'), program);
  nats = await startNatsServer();
  const start = (name: 'queue-broker' | 'cache-node' | 'telemetry-collector') =>
    startService(name, { ...natsEnvironment(nats), TRIVET_DATA: join(project, 'data') });
  services = await Promise.all([start('queue-broker'), start('cache-node'), start('telemetry-collector')]);
});

afterAll(async () => {
  await Promise.all((services ?? []).map((service) => service.stop()));
  await nats?.stop();
  await rm(project, { recursive: true });
});

test('a program with it does jobs, uses the cache, Keyv and queues in memory, and ends by itself', async () => {
  const said = await done(process.execPath, ['program.ts']);
  expect(said.split('\n')).toEqual(['ADA', 'through Keyv', '1']);
});

test('its declarations are whole, under the settings that TypeScript begins with', async () => {
  const compilerOptions = {
    strict: true,
    module: 'nodenext',
    target: 'es2024',
    noEmit: true,
    skipLibCheck: false,
    types: ['node'],
    typeRoots: [join(root, 'node_modules', '@types')],
  };
  await writeFile(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['program.ts', 'wrong.ts'] }),
  );
  await writeFile(
    join(project, 'wrong.ts'),
    [
      "import { connect } from 'trivet';",
      'const trivet = await connect();',
      '// @ts-expect-error The payload is no letter.',
      "await trivet.queue<{ to: string }>('letters').add({ too: 'ada' });",
    ].join('\n'),
  );
  await done(join(root, 'node_modules', '.bin', 'tsc'), ['--project', project]);
});

test('the command comes with it', async () => {
  expect(await done('npx', ['--no-install', 'trivet', '--version'])).toBe(version);
  const added = await done('npx', ['--no-install', 'trivet', 'enqueue', 'sheets', '{"page":1}']);
  expect(added).toContain('pending');
});

/** What a command wrote; rejects when it fails. */
async function done(command: string, args: readonly string[], cwd = project): Promise<string> {
  const env = { ...process.env, NATS_URL: nats?.url ?? '' };
  const { exitCode, stdout, stderr } = await runCommand(command, args, { timeoutMs: 200_000, cwd, env });
  if (exitCode !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${String(exitCode)}: ${stdout}${stderr}`);
  return stdout.trim();
}
