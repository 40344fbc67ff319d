import { type FileHandle, mkdir, open, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sleep, systemClock } from '#shared/runtime/clock.ts';
import type { Outcome } from './core/delivery.ts';
import type { Signal } from './core/otlp-chunks.ts';
import { jsonOfRequest } from './core/otlp-json.ts';
import type { Connection } from './core/pipelines.ts';
import { type Sender, faultOutcome } from './sender.ts';

const newline = 0x0a;
const tailBytes = 65_536;
/** A line is written by then. */
const settledMs = 100;
/** Whoever moves the files on has died, when it takes this long. */
const rotationMsMax = 60_000;

/**
 * Appends OTLP requests to a file, one JSON object a line, as the file exporter of the OpenTelemetry Collector does.
 * A request is accepted when it is on the disk. When the file is full it becomes `<path>.1`, and the former ones
 * move on.
 *
 * Other collectors of this machine have the same path in the same configuration. So each line is one write to the
 * file's end, wherever that is by then, which the system does not mix with another one; nothing is written over; and a
 * file that another one has moved on is left.
 */
export class FileSender implements Sender {
  readonly #connection: Extract<Connection, { type: 'file' }>;
  #file: FileHandle | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: Extract<Connection, { type: 'file' }>) {
    this.#connection = connection;
  }

  /** One after the other: how full the file is must be known. */
  send(signal: Signal, body: Uint8Array): Promise<Outcome> {
    const sent = this.#last.then(() => this.#append(signal, body));
    this.#last = sent;
    return sent;
  }

  close(): void {
    void this.#last.then(() => this.#file?.close());
  }

  async #append(signal: Signal, body: Uint8Array): Promise<Outcome> {
    try {
      const line = Buffer.from(`${JSON.stringify(jsonOfRequest(signal, body))}\n`);
      const file = await this.#opened(line.length);
      const { bytesWritten } = await file.write(line);
      if (bytesWritten < line.length) {
        await this.#takeBack();
        throw new Error(`only ${bytesWritten} of ${line.length} bytes were written`);
      }
      await file.datasync();
      return { kind: 'accepted', rejected: 0 };
    } catch (error) {
      return faultOutcome(error);
    }
  }

  /** The file, with room for a line. */
  async #opened(lineBytes: number): Promise<FileHandle> {
    const { rotateBytes } = this.#connection;
    const file = await this.#current();
    const { size } = await file.stat();
    if (size === 0 || size + lineBytes <= rotateBytes) return file;
    await this.#rotate(file);
    return this.#current();
  }

  /** The file that has the path now: another collector may have moved on the one that had it. */
  async #current(): Promise<FileHandle> {
    const { path } = this.#connection;
    if (this.#file !== undefined) {
      if (await hasPath(this.#file, path)) return this.#file;
      await this.#file.close();
      this.#file = undefined;
    }
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, 'a+');
    this.#file = file;
    await endLine(file);
    return file;
  }

  /** One at a time moves the files on; who comes meanwhile writes to the one that there is. */
  async #rotate(file: FileHandle): Promise<void> {
    const { path, filesMax } = this.#connection;
    const mark = `${path}.rotating`;
    if (!(await isMarked(mark))) return;
    try {
      if (!(await hasPath(file, path))) return;
      await rm(`${path}.${filesMax - 1}`, { force: true });
      for (let index = filesMax - 2; index >= 1; index -= 1)
        await rename(`${path}.${index}`, `${path}.${index + 1}`).catch(() => undefined);
      if (filesMax > 1) await rename(path, `${path}.1`);
      else await rm(path, { force: true });
    } finally {
      await rmdir(mark);
    }
  }

  /** What was written of a line, unless others have written behind it: the file is looked at anew. */
  async #takeBack(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    try {
      await endLine(file);
    } finally {
      await file.close();
    }
  }
}

async function hasPath(file: FileHandle, path: string): Promise<boolean> {
  const [own, other] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
  return other !== undefined && own.ino === other.ino && own.dev === other.dev;
}

/** @returns whether it is we who have marked it */
async function isMarked(mark: string): Promise<boolean> {
  try {
    await mkdir(mark);
    return true;
  } catch {
    const since = await stat(mark).catch(() => undefined);
    if (since !== undefined && systemClock.nowMs() - since.mtimeMs > rotationMsMax)
      await rmdir(mark).catch(() => undefined);
    return false;
  }
}

/** A crash may have left a part of a line at the end: what comes next is not to become a part of it. */
async function endLine(file: FileHandle): Promise<void> {
  const { size } = await file.stat();
  const whole = await wholeLines(file, size);
  if (whole === size) return;
  // Or somebody is writing it right now.
  await sleep(systemClock, settledMs);
  if ((await file.stat()).size === size) await file.truncate(whole);
}

/** Where the last whole line ends. */
async function wholeLines(file: FileHandle, size: number): Promise<number> {
  const tail = Buffer.alloc(tailBytes);
  for (let end = size; end > 0; end -= tailBytes) {
    const start = Math.max(0, end - tailBytes);
    const { bytesRead } = await file.read(tail, 0, end - start, start);
    const at = tail.subarray(0, bytesRead).lastIndexOf(newline);
    if (at >= 0) return start + at + 1;
  }
  return 0;
}
