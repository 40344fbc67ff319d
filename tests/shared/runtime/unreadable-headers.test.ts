import { MsgHdrsImpl } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { unreadableHeader } from '#shared/runtime/nats.ts';

const decode = (text: string) => MsgHdrsImpl.decode(Buffer.from(text));

test('a header whose name NATS does not allow is set apart, its neighbours are read', () => {
  const read = decode('NATS/1.0\r\nA: 1\r\nMy Header: x\r\nB\u0001: y\r\na: 2\r\nA: 3\r\n\r\n');
  expect([...read]).toEqual([
    ['A', ['1', '3']],
    [unreadableHeader, ['My Header: x', 'B?: y']],
    ['a', ['2']],
  ]);
});

test('the status of a message is read beside an unreadable header', () => {
  const read = decode('NATS/1.0 503 No Responders\r\nMy Header: x\r\n\r\n');
  expect([read.code, read.description]).toEqual([503, 'No Responders']);
});

test('headers that NATS allows are read as they were', () => {
  const read = decode('NATS/1.0\r\nTrivet-Priority: high\r\n\r\n');
  expect([...read]).toEqual([['Trivet-Priority', ['high']]]);
});

test('a header that is ours is read in whatever case it came, and others stay as they are', () => {
  const read = decode(
    'NATS/1.0\r\nnats-msg-id: k\r\nCONTENT-TYPE: a\r\nContent-Type: b\r\nx-own: 1\r\nX-Own: 2\r\n\r\n',
  );
  expect(new Map(read)).toEqual(
    new Map([
      ['Nats-Msg-Id', ['k']],
      ['Content-Type', ['b', 'a']],
      ['x-own', ['1']],
      ['X-Own', ['2']],
    ]),
  );
});
