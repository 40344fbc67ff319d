import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Outcome } from './core/delivery.ts';
import type { Signal } from './core/otlp-chunks.ts';
import { jsonOfRequest } from './core/otlp-json.ts';
import type { Connection } from './core/pipelines.ts';
import { type Sender, faultText } from './sender.ts';

const newline = 0x0a;
const tailBytes = 65_536;

/**
 * Appends OTLP requests to a file, one JSON object a line, as the file exporter of the OpenTelemetry Collector does.
 * A request is accepted when it is on the disk. When the file is full it becomes `<path>.1`, and the former ones
 * move on.
 */
export class FileSender implements Sender {
  readonly #connection: Extract<Connection, { type: 'file' }>;
  #file: FileHandle | undefined;
  #bytes = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: Extract<Connection, { type: 'file' }>) {
    this.#connection = connection;
  }

  /** One after the other: lines of two signals must not mix. */
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
      // From where the last whole line ended: what an earlier fault left there is written over.
      let written = 0;
      while (written < line.length) {
        const { bytesWritten } = await file.write(
          line,
          written,
          line.length - written,
          this.#bytes + written,
        );
        written += bytesWritten;
      }
      await file.datasync();
      this.#bytes += line.length;
      return { kind: 'accepted', rejected: 0 };
    } catch (error) {
      return { kind: 'retry', reason: faultText(error) };
    }
  }

  async #opened(lineBytes: number): Promise<FileHandle> {
    const { path, rotateBytes } = this.#connection;
    if (this.#file !== undefined && this.#bytes > 0 && this.#bytes + lineBytes > rotateBytes) {
      await this.#file.close();
      this.#file = undefined;
      await this.#rotate();
    }
    if (this.#file !== undefined) return this.#file;
    await mkdir(dirname(path), { recursive: true });
    // Not `a`: appending ignores the place that is written to.
    const file = await open(path, 'r+').catch(() => open(path, 'w+'));
    this.#bytes = await wholeLines(file);
    await file.truncate(this.#bytes);
    this.#file = file;
    return file;
  }

  async #rotate(): Promise<void> {
    const { path, filesMax } = this.#connection;
    await rm(`${path}.${filesMax - 1}`, { force: true });
    for (let index = filesMax - 2; index >= 1; index -= 1)
      await rename(`${path}.${index}`, `${path}.${index + 1}`).catch(() => undefined);
    if (filesMax > 1) await rename(path, `${path}.1`);
    else await rm(path, { force: true });
  }
}

/** Where the last whole line ends: a crash may have left a part of one behind it. */
async function wholeLines(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  const tail = Buffer.alloc(tailBytes);
  for (let end = size; end > 0; end -= tailBytes) {
    const start = Math.max(0, end - tailBytes);
    const { bytesRead } = await file.read(tail, 0, end - start, start);
    const at = tail.subarray(0, bytesRead).lastIndexOf(newline);
    if (at >= 0) return start + at + 1;
  }
  return 0;
}
