import { createHash } from 'node:crypto';
import type { Streams } from '#shared/protocol/subjects.ts';
import {
  JetStreamApiError,
  type JetStreamManager,
  type Nats,
  type ObjectStore,
  StorageType,
} from '#shared/runtime/nats.ts';
import { messageRoom } from './message-room.ts';
import { SnapshotFault, type SnapshotStore } from './snapshot-store.ts';

export interface ObjectSnapshotsOptions {
  readonly nats: Nats;
  readonly streams: Streams;
  readonly partition: number;
  readonly replicas: number;
}

/** Bytes of one message of an object: few fsyncs, and no append waits long behind one on the connection. */
const chunkBytes = 262_144;
const putTimeoutMs = 10_000;
const removedAtOnce = 16;

/**
 * Snapshots in a bucket of the NATS object store, one for each partition: what a put that never ended has left can
 * only be told from one that is under way by knowing that nobody else writes here. The bucket is made when it is
 * first written to.
 */
export class ObjectSnapshots implements SnapshotStore {
  readonly #options: ObjectSnapshotsOptions;
  readonly #bucket: string;
  readonly #stream: string;
  #opened: Opened | undefined;

  constructor(options: ObjectSnapshotsOptions) {
    this.#options = options;
    this.#bucket = options.streams.snapshots(options.partition);
    this.#stream = `OBJ_${this.#bucket}`;
  }

  async list(): Promise<readonly string[]> {
    const listed = await this.#whereThere(({ bucket }) => bucket.list());
    return (listed ?? []).map(({ name }) => name);
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    const { nats, replicas } = this.#options;
    const room = messageRoom(nats.connection.info?.max_payload).payloadBytesMax;
    const meta = { name, options: { max_chunk_size: Math.min(chunkBytes, room) } };
    await this.#watched(async () => {
      this.#opened ??= {
        bucket: await nats.objm.create(this.#bucket, { replicas, storage: StorageType.File }),
        manager: await nats.manager(),
      };
      await this.#opened.bucket.putBlob(meta, bytes, { timeout: putTimeoutMs });
    });
  }

  get(name: string): Promise<Uint8Array | undefined> {
    return this.#whereThere(async ({ bucket, manager }) => {
      const info = await bucket.info(name);
      if (info === null || info.deleted) return undefined;
      // Message by message: the library makes a consumer, which costs several fsyncs, and waits for ever for messages
      // that are not there.
      const chunks: Uint8Array[] = [];
      const subject = this.#chunkSubject(info.nuid);
      for (let seq = 1; chunks.length < info.chunks;) {
        // The server knows `next_by_subj` here, too; the library's type does not.
        const next = { seq, next_by_subj: subject };
        const message = await manager.streams.getMessage(this.#stream, next);
        if (message === null)
          throw new SnapshotFault(`${name} has ${chunks.length} of its ${info.chunks} messages`);
        chunks.push(message.data);
        seq = message.seq + 1;
      }
      const bytes = Buffer.concat(chunks);
      if (digestOf(bytes) !== info.digest) throw new SnapshotFault(`${name} is damaged: its digest is wrong`);
      return bytes;
    });
  }

  async remove(names: readonly string[]): Promise<void> {
    await this.#whereThere(async ({ bucket, manager }) => {
      // Together, since each question to NATS waits for its turn in a busy broker.
      for (let at = 0; at < names.length; at += removedAtOnce) {
        const some = names.slice(at, at + removedAtOnce);
        await Promise.all(some.map((name) => this.#removeOne(name, bucket, manager)));
      }
    });
  }

  async tidy(): Promise<void> {
    await this.#whereThere(async ({ bucket, manager }) => {
      const info = await manager.streams.info(this.#stream, { subjects_filter: this.#chunkSubject('*') });
      // Listed after the messages: what is whole by then is known by its name.
      const known = new Set((await bucket.list()).map(({ nuid }) => this.#chunkSubject(nuid)));
      for (const subject of Object.keys(info.state.subjects ?? {}))
        if (!known.has(subject)) await manager.streams.purge(this.#stream, { filter: subject });
    });
  }

  /** Without the note that it was deleted, which would stay for ever: names are not used again. */
  async #removeOne(name: string, bucket: ObjectStore, manager: JetStreamManager): Promise<void> {
    const info = await bucket.info(name);
    if (info === null) return;
    await manager.streams.purge(this.#stream, { filter: `$O.${this.#bucket}.M.${base64url(name)}` });
    await manager.streams.purge(this.#stream, { filter: this.#chunkSubject(info.nuid) });
  }

  #chunkSubject(nuid: string): string {
    return `$O.${this.#bucket}.C.${nuid}`;
  }

  /** Does something with the bucket; undefined while nothing was ever written to it. */
  #whereThere<T>(act: (opened: Opened) => Promise<T>): Promise<T | undefined> {
    return this.#watched(async () => {
      const opened = this.#opened ?? (await this.#open());
      return opened === undefined ? undefined : act(opened);
    });
  }

  async #open(): Promise<Opened | undefined> {
    const { nats } = this.#options;
    const manager = await nats.manager();
    const known = await manager.streams.info(this.#stream).catch((error: unknown) => {
      if (error instanceof JetStreamApiError && error.status === 404) return undefined;
      throw error;
    });
    if (known === undefined) return undefined;
    this.#opened = { bucket: await nats.objm.open(this.#bucket, false), manager };
    return this.#opened;
  }

  /** After a failure the bucket is looked for anew: somebody may have removed it. */
  async #watched<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }
}

interface Opened {
  readonly bucket: ObjectStore;
  readonly manager: JetStreamManager;
}

/** As the object store writes it. */
const digestOf = (bytes: Uint8Array): string =>
  `SHA-256=${inBase64Url(createHash('sha256').update(bytes).digest())}`;

/** As the object store writes names in its subjects: with padding. */
const base64url = (name: string): string => inBase64Url(Buffer.from(name));

const inBase64Url = (bytes: Buffer): string =>
  bytes.toString('base64').replaceAll('+', '-').replaceAll('/', '_');
