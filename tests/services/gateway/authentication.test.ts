import { expect, test } from 'vitest';
import { tokenAuthentication } from '#services/gateway/authentication.ts';
import { localAdmin } from '#services/gateway/core/principal.ts';

const token = 'kB2_the-token.of~the+tests/1=';
const authenticate = tokenAuthentication(token);

test.each([`Bearer ${token}`, `bearer ${token}`, `Bearer   ${token}`])(
  '%j proves the local admin',
  (header) => {
    expect(authenticate(header)).toBe(localAdmin);
  },
);

test.each([
  undefined,
  '',
  token,
  'Bearer',
  'Bearer ',
  `Basic ${token}`,
  `Bearer ${token}x`,
  `Bearer ${token.slice(0, -1)}`,
  `Bearer ${token} ${token}`,
  `Bearer ${token},`,
  `Bearer ${token.toUpperCase()}`,
])('%j proves nobody', (header) => {
  expect(authenticate(header)).toBeUndefined();
});
