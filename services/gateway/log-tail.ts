import { type FileHandle, open, stat } from 'node:fs/promises';
import type { Clock } from '#shared/runtime/clock.ts';

const lookMs = 500;
const chunkBytes = 256 * 1_024;
const lineLengthMax = 16_384;

/** Reads the lines that are written to a file from now on, also when it is replaced by a new one (rotation). */
export function tailLines(file: string, clock: Clock, onLine: (line: string) => void): () => void {
  let inode: number | undefined;
  let position = 0;
  let rest = '';
  let stopped = false;
  let cancel = (): void => undefined;

  const take = (text: string): void => {
    const lines = (rest + text).split('\n');
    rest = (lines.pop() ?? '').slice(-lineLengthMax);
    for (const line of lines) onLine(line);
  };

  const read = async (handle: FileHandle): Promise<void> => {
    const { ino, size } = await handle.stat();
    // The first sight of it: what is in it was there before.
    if (inode === undefined) position = size;
    else if (ino !== inode || size < position) position = 0;
    inode = ino;
    const chunk = Buffer.alloc(chunkBytes);
    while (position < size) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      take(chunk.subarray(0, bytesRead).toString());
    }
  };

  const look = async (): Promise<void> => {
    const exists = await stat(file).then(
      () => true,
      () => false,
    );
    if (exists) {
      const handle = await open(file, 'r');
      try {
        await read(handle);
      } finally {
        await handle.close();
      }
    } else {
      // It will be a new one: all of it then.
      inode ??= -1;
    }
  };

  const again = (): void => {
    void look()
      .catch(() => undefined)
      .finally(() => {
        if (!stopped) cancel = clock.after(lookMs, again);
      });
  };
  again();
  return () => {
    stopped = true;
    cancel();
  };
}
