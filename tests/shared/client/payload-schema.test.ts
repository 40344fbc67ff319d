import { expect, test } from 'vitest';
import { type PayloadSchema, checkPayload } from '#shared/client/payload-schema.ts';

/** Written by hand after standardschema.dev, so that no library decides what we understand of it. */
const schema = <Output>(
  validate: PayloadSchema<unknown, Output>['~standard']['validate'],
): PayloadSchema<unknown, Output> => ({ '~standard': { version: 1, vendor: 'by hand', validate } });

test('what fits is what the schema makes of it', () => {
  const trimming = schema((value) => ({ value: String(value).trim() }));
  expect(checkPayload(trimming, ' a ')).toEqual({ ok: true, value: 'a' });
});

test('what does not fit names the field by its path, with names, numbers and segments', () => {
  const path = ['orders', 3, { key: 'name' }, { key: 0 }];
  const refusing = schema(() => ({ issues: [{ message: 'is too short', path }, { message: 'second' }] }));
  expect(checkPayload(refusing, {})).toEqual({
    ok: false,
    error: {
      code: 'invalid_request',
      message: 'payload.orders[3].name[0] does not fit its schema: is too short',
      details: { field: 'payload.orders[3].name[0]' },
    },
  });
});

test('an issue without a path names the payload', () => {
  const refusing = schema(() => ({ issues: [{ message: 'is no object' }] }));
  expect(checkPayload(refusing, 1)).toMatchObject({ error: { details: { field: 'payload' } } });
});

test('a schema may take its time', async () => {
  const slow = schema((value) => Promise.resolve({ value: Number(value) * 2 }));
  expect(await checkPayload(slow, 21)).toEqual({ ok: true, value: 42 });
});
