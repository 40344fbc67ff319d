import { ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { expect, test } from 'vitest';
import { spanContextOf, traceContextOf, traceFields, traceFieldsOf } from '#shared/runtime/trace-context.ts';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const headers = (values: Readonly<Record<string, string>>) => ({ get: (name: string) => values[name] ?? '' });

test('a trace context goes through headers unchanged', () => {
  const context = traceContextOf(headers({ traceparent, tracestate: 'vendor=a' }));
  expect(traceFields(context)).toEqual({ traceparent, tracestate: 'vendor=a' });
});

test('the span that a caller names is its parent', () => {
  const span = spanContextOf(headers({ traceparent }));
  expect(span).toMatchObject({
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    isRemote: true,
  });
  expect(span && traceFieldsOf(span)).toEqual({ traceparent });
});

test.each(['', 'nonsense', '00-00000000000000000000000000000000-b7ad6b7169203331-01', 'ff-1-2-3'])(
  'the malformed traceparent %j is no parent',
  (malformed) => {
    expect(spanContextOf(headers({ traceparent: malformed }))).toBeUndefined();
    expect(trace.getSpanContext(traceContextOf(headers({ traceparent: malformed })))).toBeUndefined();
  },
);

test('no headers and no span give nothing to carry', () => {
  expect(spanContextOf(undefined)).toBeUndefined();
  expect(traceFields(ROOT_CONTEXT)).toEqual({});
});
