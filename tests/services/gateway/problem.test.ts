import { expect, test } from 'vitest';
import { type ErrorCode, errorTable } from '#shared/protocol/errors.ts';
import { Problem } from '#shared/protocol/http-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { problemOf } from '#services/gateway/core/problem.ts';

const occurrence = { instance: '/queue/enqueue', requestId: 'r-1' };

test.each(Object.keys(errorTable) as ErrorCode[])('%s becomes a problem with its status and code', (code) => {
  const problem = problemOf({ code, message: 'why' }, occurrence);
  expect(problem).toMatchObject({
    type: `urn:trivet:error:${code}`,
    status: errorTable[code].status,
    code,
    detail: 'why',
    instance: '/queue/enqueue',
    requestId: 'r-1',
  });
  expect(problem.title).not.toBe('');
  expect(validator(Problem)(problem).ok).toBe(true);
});

test('details become members of the problem', () => {
  const refusal = { code: 'invalid_request', message: 'delay is bad', details: { field: 'delay' } } as const;
  expect(problemOf(refusal, occurrence).field).toBe('delay');
});

test('details never take the place of a member that the problem has', () => {
  const refusal = {
    code: 'conflict',
    message: 'm',
    details: { status: 200, code: 'fine', type: 'x' },
  } as const;
  expect(problemOf(refusal, occurrence)).toMatchObject({ status: 409, code: 'conflict' });
});

test('HTTP may have a status of its own for a request that is not valid', () => {
  const problem = problemOf({ code: 'invalid_request', message: 'm' }, { ...occurrence, status: 405 });
  expect(problem).toMatchObject({ status: 405, code: 'invalid_request' });
});
