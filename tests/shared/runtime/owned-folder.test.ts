import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openEnvironment } from '#shared/runtime/lmdb.ts';
import { openOwnedFolder } from '#shared/runtime/owned-folder.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'trivet-owned-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test('a folder is made for its user alone, and taken when it is there', async () => {
  const path = join(dir, 'a', 'b');
  openOwnedFolder(path);
  openOwnedFolder(path);
  for (const one of [join(dir, 'a'), path]) expect((await stat(one)).mode & 0o777).toBe(0o700);
});

test.each(['file', join('file', 'below')])(
  '%s, where a file stands, is bad configuration by name',
  async (name) => {
    await writeFile(join(dir, 'file'), 'kept');
    const path = join(dir, name);
    const refusal = expect.objectContaining({ exitCode: 2 });
    expect(() => openOwnedFolder(path)).toThrow(refusal);
    expect(() => openOwnedFolder(path)).toThrow(`TRIVET_DATA: ${path} cannot be used (`);
    expect(() => openEnvironment({ path })).toThrow(refusal);
    expect(await readFile(join(dir, 'file'), 'utf8')).toBe('kept');
  },
);

test('what is in a folder and belongs to somebody else is refused', async () => {
  await chmod(dir, 0o777);
  await writeFile(join(dir, 'data.mdb'), '');
  await chmod(join(dir, 'data.mdb'), 0o400);
  const program = `
    import { openOwnedFolder } from '#shared/runtime/owned-folder.ts';
    // Root may write everywhere.
    if (process.getuid() === 0) process.setuid(65_534);
    try {
      openOwnedFolder(process.argv[1], ['data.mdb']);
    } catch (error) {
      console.log(error.message);
    }`;
  const args = ['--input-type=module', '-e', program, dir];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  expect(stdout).toMatch(/^TRIVET_DATA: \S+ cannot be used \(EACCES: .*data\.mdb/);
});
