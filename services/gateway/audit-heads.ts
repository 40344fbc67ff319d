import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditHead } from '#shared/protocol/audit-schemas.ts';
import type { KV, Nats } from '#shared/runtime/nats.ts';

export interface AuditHeadsOptions {
  readonly nats: Nats;
  readonly bucket: string;
  readonly replicas: number;
  /** Folder of this process: the newest head is kept there, too, out of reach of who owns the NATS. */
  readonly data: string;
}

/** Heads that the bucket remembers for each key. */
const history = 64;

/** Where signed heads of the audit are kept: a bucket beside the stream, and a file of each process. */
export class AuditHeads {
  readonly #options: AuditHeadsOptions;
  readonly #file: string;
  #kv: KV | undefined;

  constructor(options: AuditHeadsOptions) {
    this.#options = options;
    this.#file = join(options.data, 'audit-head.json');
  }

  async open(): Promise<void> {
    const { nats, bucket, replicas } = this.#options;
    this.#kv = await nats.kvm.create(bucket, { history, replicas });
  }

  async keep(head: AuditHead): Promise<void> {
    const text = JSON.stringify(head);
    await writeFile(`${this.#file}.new`, `${text}\n`, { mode: 0o600 });
    await rename(`${this.#file}.new`, this.#file);
    await this.#kv?.put(head.key, text);
  }

  /** All that are known here. */
  async all(): Promise<readonly AuditHead[]> {
    const heads: AuditHead[] = [];
    const own = await readFile(this.#file, 'utf8').catch(() => '');
    if (own !== '') heads.push(JSON.parse(own) as AuditHead);
    const kept = await this.#kv?.history();
    if (kept === undefined) return heads;
    for await (const entry of kept) {
      if (entry.operation === 'PUT') heads.push(entry.json<AuditHead>());
    }
    return heads;
  }
}
