import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Environment, type Table, openEnvironment } from '#shared/runtime/lmdb.ts';

let path: string;
let environment: Environment;
let table: Table<string>;

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'trivet-lmdb-'));
  environment = openEnvironment({ path });
  table = environment.table('table');
});

afterEach(async () => {
  await environment.close();
  await rm(path, { recursive: true, force: true });
});

const rows = () => Object.fromEntries([...table.getRange()].map(({ key, value }) => [key, value.toString()]));

test('a transaction that throws writes nothing of what it had gathered', async () => {
  await environment.transaction((writes) => writes.put(table, 'kept', Buffer.from('1')));
  const failing = environment.transaction((writes) => {
    writes.put(table, 'added', Buffer.from('2'));
    writes.remove(table, 'kept');
    writes.clear(table);
    throw new Error('in the middle');
  });
  await expect(failing).rejects.toThrow('in the middle');
  await environment.flushed();
  expect(rows()).toEqual({ kept: '1' });
});

test('a transaction does all in its order, reads what was there before, and resolves with what it returned', async () => {
  await environment.transaction((writes) => writes.put(table, 'old', Buffer.from('1')));
  const seen = await environment.transaction((writes) => {
    writes.clear(table);
    writes.put(table, 'a', Buffer.from('2'));
    writes.put(table, 'b', Buffer.from('3'));
    writes.remove(table, 'a');
    return rows();
  });
  expect(seen).toEqual({ old: '1' });
  expect(rows()).toEqual({ b: '3' });
});

test('a transaction that the disk has no room for says so, and where', async () => {
  const folder = join(path, 'full');
  const program = `
    import { openEnvironment } from '#shared/runtime/lmdb.ts';
    process.on('SIGXFSZ', () => undefined);
    const environment = openEnvironment({ path: process.argv[1] });
    const table = environment.table('table');
    await environment
      .transaction((writes) => {
        for (let row = 0; row < 2_000; row += 1) writes.put(table, String(row), Buffer.alloc(3_000));
      })
      .catch((error) => console.log(error.message));
    process.exit();`;
  // A limit on the size of files stands for the end of a disk.
  const { stdout } = await promisify(execFile)(
    'bash',
    ['-c', 'ulimit -f 1000; exec "$0" --input-type=module -e "$1" "$2"', process.execPath, program, folder],
    { cwd: join(import.meta.dirname, '..', '..', '..') },
  );
  expect(stdout.trim()).toMatch(
    new RegExp(`^${folder} could not be written: (File too large|Input/output error, mostly a full disk)$`),
  );
});

test('a file whose pages are none is told by its name, where the library notices', async () => {
  const folder = join(path, 'garbled');
  const file = join(folder, 'data.mdb');
  const garbled = openEnvironment({ path: folder });
  const rows = garbled.table<string>('table');
  await garbled.transaction((writes) => writes.put(rows, 'a', Buffer.from('1')));
  await garbled.close();
  // Behind the two pages that say where the others are.
  await writeFile(file, (await readFile(file)).fill(0, 8_192));
  const program = `
    import { openEnvironment } from '#shared/runtime/lmdb.ts';
    try {
      openEnvironment({ path: process.argv[1] }).table('table');
    } catch (error) {
      console.log(error.message);
    }`;
  // In a process of its own: of most other garbage it would die.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', program, folder],
    {
      cwd: join(import.meta.dirname, '..', '..', '..'),
    },
  );
  expect(stdout.trim()).toMatch(new RegExp(`^${file} is damaged: MDB_CORRUPTED: `));
});
