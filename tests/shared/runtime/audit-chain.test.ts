import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AuditHead } from '#shared/protocol/audit-schemas.ts';
import { ChainCheck, type ChainEnd, chainStart, nextLine, signHead } from '#shared/runtime/audit-chain.ts';
import { newSigningSeed, signingKey } from '#shared/runtime/signing-key.ts';

const key = signingKey(newSigningSeed());

function chain(length: number, start: ChainEnd = chainStart) {
  let end = start;
  const ends: ChainEnd[] = [];
  const lines = Array.from({ length }, (_, index) => {
    const next = nextLine(end, {
      at: '2026-01-01T00:00:00.000Z',
      who: `user ${index}`,
      id: 'k-1',
      via: 'http',
      from: '127.0.0.1:1',
      operation: 'queue.pause',
      on: 'queue mails',
      result: 'ok',
    });
    ({ end } = next);
    ends.push(end);
    return next.line;
  });
  return { lines, ends };
}

const headAt = (end: ChainEnd, by = key): AuditHead => signHead(end, '2026-01-01T00:00:00.000Z', by);

function faultsOf(lines: readonly string[], heads: readonly AuditHead[] = [], trusted = [key.publicKey]) {
  const check = new ChainCheck(heads, trusted);
  for (const line of lines) check.read(line);
  return check.finish().faults;
}

test('a whole chain has no faults, with heads of any moment', () => {
  const { lines, ends } = chain(50);
  expect(
    faultsOf(
      lines,
      ends.map((end) => headAt(end)),
    ),
  ).toEqual([]);
  expect(faultsOf([])).toEqual([]);
});

test('whatever byte of whatever line is changed, it is found', () => {
  const { lines, ends } = chain(8);
  const heads = [headAt(ends[7] ?? chainStart)];
  fc.assert(
    fc.property(fc.nat(7), fc.nat(400), fc.integer({ min: 32, max: 126 }), (which, place, code) => {
      const line = lines[which] ?? '';
      const at = place % line.length;
      const changed = line.slice(0, at) + String.fromCodePoint(code) + line.slice(at + 1);
      fc.pre(changed !== line);
      expect(faultsOf(lines.with(which, changed), heads)).not.toEqual([]);
    }),
  );
});

test('what stands between hash and entry is looked at, too', () => {
  const { lines } = chain(3);
  const changed = (lines[1] ?? '').replace(' ', '!');
  expect(faultsOf(lines.with(1, changed))).toEqual(['entry 2 was changed, or the one before it']);
});

test('a removed entry, two that changed places and one that was put in between are found', () => {
  const { lines } = chain(10);
  expect(faultsOf(lines.toSpliced(4, 1))).toContain('entries 5 to 5 are missing');
  expect(faultsOf([...lines.slice(0, 3), lines[4] ?? '', lines[3] ?? '', ...lines.slice(5)])).not.toEqual([]);
  expect(faultsOf(lines.toSpliced(4, 0, lines[0] ?? ''))).not.toEqual([]);
});

test('an end that was cut off is found by a head that was signed before', () => {
  const { lines, ends } = chain(10);
  expect(faultsOf(lines.slice(0, 7), [headAt(ends[9] ?? chainStart)])[0]).toMatch(
    /end is cut off.*entry 10.*is 7/,
  );
  expect(faultsOf([], [headAt(ends[9] ?? chainStart)])[0]).toMatch(/cut off/);
});

test('a chain that was written anew from the beginning is found by a head of the old one', () => {
  const { ends } = chain(10);
  const { lines } = chain(12, { n: 0, hash: 'f'.repeat(64) });
  expect(faultsOf(lines, [headAt(ends[5] ?? chainStart)])).not.toEqual([]);
});

test('a head of a key that is not trusted, or with another’s signature, is reported and proves nothing', () => {
  const { lines, ends } = chain(3);
  const end = ends[2] ?? chainStart;
  const other = signingKey(newSigningSeed());
  expect(faultsOf(lines, [headAt(end, other)])[0]).toMatch(/not trusted/);
  expect(faultsOf(lines, [{ ...headAt(end, other), key: key.publicKey }])[0]).toMatch(/signature/);
  expect(faultsOf(lines, [{ ...headAt(end), n: 2 }])[0]).toMatch(/signature/);
});
