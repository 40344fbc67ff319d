import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FencedError, type LogRecord, type PartitionLog } from '#services/queue-broker/partition-log.ts';

export interface OpenedLog {
  /** One broker's way to the log; a second call is a second broker's. */
  connect(): Promise<PartitionLog>;
  /** Lets what waits for time to pass come to its end. */
  readonly wait: <T>(promise: Promise<T>) => Promise<T>;
  /** Tears a hole into the log. */
  drop(sequence: number): Promise<void>;
  dispose(): Promise<void>;
}

/** What every log promises to the partition that appends to it. */
export function partitionLogContract(name: string, open: () => Promise<OpenedLog>): void {
  describe(name, () => {
    let opened: OpenedLog;
    let one: PartitionLog;
    let other: PartitionLog;

    beforeEach(async () => {
      opened = await open();
      one = await opened.connect();
      other = await opened.connect();
    });

    afterEach(() => opened.dispose());

    const raise = (log: PartitionLog, expected: number) =>
      opened.wait(log.raiseFence(bytes('a fence'), expected));
    const append = (log: PartitionLog, epoch: number, lastSequence: number, content = 'a batch') =>
      opened.wait(log.append(bytes(content), { epoch, lastSequence }));
    const readAll = async (log: PartitionLog, from: number, to: number) => {
      const records: LogRecord[] = [];
      await opened.wait(log.read(from, to, (record) => records.push(record)));
      return records.map((record) => [record.kind, record.sequence, textOf(record)]);
    };

    test('a new log is empty', async () => {
      const described = await opened.wait(one.describe());
      expect(described).toMatchObject({ lastSequence: 0, lastFence: 0 });
    });

    test('a fence and batches are read back as they were written, in order', async () => {
      const epoch = await raise(one, 0);
      expect(await append(one, epoch, epoch, 'first')).toBe(epoch + 1);
      expect(await append(one, epoch, epoch + 1, 'second')).toBe(epoch + 2);
      expect(await readAll(other, epoch, epoch + 2)).toEqual([
        ['fence', epoch, 'a fence'],
        ['batch', epoch + 1, 'first'],
        ['batch', epoch + 2, 'second'],
      ]);
      expect(await readAll(other, epoch + 1, epoch + 1)).toEqual([['batch', epoch + 1, 'first']]);
      expect(await opened.wait(other.describe())).toMatchObject({
        lastSequence: epoch + 2,
        lastFence: epoch,
      });
    });

    test('of two brokers that raise a fence over the same one, only the first gets it', async () => {
      const epoch = await raise(one, 0);
      await expect(raise(other, 0)).rejects.toBeInstanceOf(FencedError);
      expect(await raise(other, epoch)).toBeGreaterThan(epoch);
    });

    test('a former owner can append no more, however well it knows the end of the log', async () => {
      const former = await raise(one, 0);
      const last = await append(one, former, former);
      const epoch = await raise(other, former);
      await expect(append(one, former, last, 'late')).rejects.toBeInstanceOf(FencedError);
      await expect(append(one, former, epoch, 'later')).rejects.toBeInstanceOf(FencedError);
      const next = await append(other, epoch, epoch);
      await expect(append(one, former, next, 'much later')).rejects.toBeInstanceOf(FencedError);
      expect(await opened.wait(other.describe())).toMatchObject({ lastSequence: next });
    });

    test('the owner itself cannot append beside the end of its log', async () => {
      const epoch = await raise(one, 0);
      const last = await append(one, epoch, epoch);
      await expect(append(one, epoch, last + 1)).rejects.toBeInstanceOf(FencedError);
      await expect(append(one, epoch, epoch - 1)).rejects.toBeInstanceOf(FencedError);
    });

    test('a late repetition of an append is answered as the first one and stored once', async () => {
      const epoch = await raise(one, 0);
      const first = await append(one, epoch, epoch);
      const second = await append(one, epoch, first);
      expect(await append(one, epoch, epoch)).toBe(first);
      expect(await append(one, epoch, first)).toBe(second);
      expect(await opened.wait(one.describe())).toMatchObject({ lastSequence: second });
    });

    test('what was stored before the fence fell is answered with its place, even after it', async () => {
      const epoch = await raise(one, 0);
      const stored = await append(one, epoch, epoch);
      await raise(other, epoch);
      expect(await append(one, epoch, epoch)).toBe(stored);
    });

    test('a hole in the log is noticed, not skipped', async () => {
      const epoch = await raise(one, 0);
      let last = epoch;
      for (let count = 0; count < 4; count += 1) last = await append(one, epoch, last);
      await opened.drop(last - 2);
      await expect(readAll(other, epoch, last)).rejects.toThrow(String(last - 2));
      expect(await readAll(other, last - 1, last)).toHaveLength(2);
    });

    test('a fault of whoever reads ends the reading', async () => {
      const epoch = await raise(one, 0);
      const last = await append(one, epoch, epoch);
      const reading = one.read(epoch, last, () => {
        throw new Error('cannot be read');
      });
      await expect(opened.wait(reading)).rejects.toThrow('cannot be read');
    });

    test('one record is read by its sequence, and none where there is none', async () => {
      const epoch = await raise(one, 0);
      const last = await append(one, epoch, epoch, 'a batch');
      const read = async (sequence: number) => {
        const record = await opened.wait(other.at(sequence));
        return record === undefined ? undefined : [record.kind, record.sequence, textOf(record)];
      };
      expect(await read(epoch)).toEqual(['fence', epoch, 'a fence']);
      expect(await read(last)).toEqual(['batch', last, 'a batch']);
      expect(await read(last + 1)).toBeUndefined();
      expect(await read(0)).toBeUndefined();
    });

    test('a purged log begins later, is smaller, and its owner goes on as before', async () => {
      const former = await raise(one, 0);
      let last = await append(one, former, former, 'x'.repeat(10_000));
      const epoch = await raise(one, former);
      last = await append(one, epoch, epoch, 'kept');
      const before = await opened.wait(one.describe());
      await opened.wait(one.purge(epoch));
      const after = await opened.wait(one.describe());
      expect(after).toMatchObject({ firstSequence: epoch, lastSequence: last, lastFence: epoch });
      expect(after.bytes).toBeLessThan(before.bytes - 10_000);
      expect(await opened.wait(one.at(former))).toBeUndefined();
      expect(await readAll(other, epoch, last)).toEqual([
        ['fence', epoch, 'a fence'],
        ['batch', last, 'kept'],
      ]);
      await expect(readAll(other, former, last)).rejects.toThrow(String(former));
      last = await append(one, epoch, last);
      const next = await raise(other, epoch);
      await expect(append(one, epoch, last)).rejects.toBeInstanceOf(FencedError);
      await opened.wait(other.purge(next));
      await opened.wait(other.purge(next));
      expect(await append(other, next, next)).toBe(next + 1);
    });

    test('reading nothing ends at once', async () => {
      expect(await readAll(one, 5, 4)).toEqual([]);
    });
  });
}

const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const textOf = (record: LogRecord): string =>
  record.kind === 'foreign' ? '' : new TextDecoder().decode(record.data);
