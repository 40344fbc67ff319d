import { expect, test } from 'vitest';
import { writeItems, writeEntry } from '#services/cache-node/entry-reply.ts';
import { operations } from '#services/cache-node/operations.ts';
import { ReplyWriter } from '#services/cache-node/reply-writer.ts';
import { type Encoding, decode, json, msgpack } from '#shared/protocol/encoding.ts';
import { madeNamespace, setOf } from './made-namespace.ts';

/** What a `get-many` of these JSON texts is answered with. */
function itemsIn(encoding: Encoding, texts: readonly string[]): unknown {
  const namespace = madeNamespace();
  const out = new ReplyWriter().begin(encoding);
  for (const [index, text] of texts.entries()) {
    const value = { encoding: json, bytes: Buffer.from(text), rawBytes: 0 };
    namespace.set({ ...setOf(`k${index}`, 0), value }, 0);
  }
  writeItems(out, texts.length, (index) =>
    writeEntry(out, namespace.get(`k${index}`, 0), { nowMs: 0, tellTags: false }),
  );
  return decode(out.finish(), encoding);
}

test.each(['"\\ud800"', `["${'\\uDC00'.repeat(200)}"]`, '{"a":{"\\ud83d":1}}'])(
  'JSON text that is no Unicode is refused to who reads MessagePack, and to nobody beside it: %s',
  (text) => {
    const good = '"\\ud83d\\udca9 \\\\ud800"';
    expect(itemsIn(msgpack, [good, text, '1'])).toMatchObject({
      ok: true,
      value: {
        items: [{ value: '\ud83d\udca9 \\ud800' }, { error: { code: 'wrong_state' } }, { value: 1 }],
      },
    });
    expect(itemsIn(json, [text])).toMatchObject({
      ok: true,
      value: { items: [{ value: JSON.parse(text) }] },
    });
  },
);

test.each([
  ['by', { key: 'k', by: 2 ** 53 }],
  ['initial', { key: 'k', by: 1, initial: -(2 ** 53) }],
])('an integer that is not kept exactly is refused by its name: %s', (field, body) => {
  expect(operations.increment.read(body)).toMatchObject({
    ok: false,
    error: { code: 'invalid_request', details: { field } },
  });
});
