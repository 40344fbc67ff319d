import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The files of the demo, and how many of them cannot end well. */
export interface Job {
  readonly files: readonly string[];
  readonly troubles: readonly string[];
  /** Removes the file that is to be gone by the time a worker opens it. */
  spoil(): Promise<void>;
}

/** More files would only make the demo longer. */
const filesMax = 2_000;

/** Collects the Markdown files below `folder`, and puts three real troubles beside them into `scratch`. */
export async function collectJob(folder: string, scratch: string): Promise<Job> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = found
    .filter((entry) => entry.isFile() && /\.(md|markdown)$/i.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .slice(0, filesMax);
  const deleted = join(scratch, 'deleted-after-publish.md');
  const garbled = join(scratch, 'not-utf8.md');
  const directory = join(scratch, 'a-directory.md');
  await writeFile(deleted, '# Soon gone\n');
  await writeFile(garbled, Buffer.from([0x23, 0x20, 0xff, 0xfe, 0x80, 0x0a]));
  await mkdir(directory);
  return { files, troubles: [deleted, garbled, directory], spoil: () => rm(deleted) };
}
