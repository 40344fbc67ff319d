import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { linesOf } from '#services/cli/commands/cache-files.ts';

async function linesIn(chunks: readonly (Buffer | string)[]): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(Readable.from(chunks))) lines.push(line);
  return lines;
}

test('a line ends at a line feed and nowhere else, so that what was exported is read again', async () => {
  const written = ['a\u2028b', 'c\u2029d', 'e\u0085f', 'g\rh'].map((value) => JSON.stringify({ value }));
  expect(await linesIn([`${written.join('\n')}\n`])).toEqual(written);
});

test('lines are the same however the file is cut into pieces', async () => {
  const bytes = Buffer.from('{"key":"ü💩"}\n\n{"key":"b"}\r\nlast');
  const expected = ['{"key":"ü💩"}', '', '{"key":"b"}\r', 'last'];
  for (let at = 0; at <= bytes.length; at += 1)
    expect(await linesIn([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected);
  expect(await linesIn([])).toEqual([]);
});
