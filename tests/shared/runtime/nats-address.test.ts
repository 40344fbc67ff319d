import { describe, expect, test } from 'vitest';
import { loginOf, withoutCredentials } from '#shared/runtime/nats-address.ts';

test.each([
  ['nats://one:4222', 'nats://one:4222'],
  ['nats://ada:secret@one:4222,nats://token@two', 'nats://one:4222,nats://two'],
  ['nats://ada:p@ss@one:4222/path@here', 'nats://one:4222/path@here'],
  ['ada:secret@one', 'ada:secret@one'],
])('%s is shown without credentials', (url, shown) => {
  expect(withoutCredentials(url)).toBe(shown);
});

describe('who comes', () => {
  test.each([
    ['nats://one:4222', {}],
    ['nats://ada:secret@one', { user: 'ada', password: 'secret' }],
    ['nats://one,nats://ada:secret@two,nats://bob:other@three', { user: 'ada', password: 'secret' }],
    ['nats://ada:s%40cret%2F@one', { user: 'ada', password: 's@cret/' }],
    ['nats://ada:p@ss:word%@one', { user: 'ada', password: 'p@ss:word%' }],
    ['nats://tok%2Cen@one', { token: 'tok,en' }],
  ])('stands in %s', (url, login) => {
    expect(loginOf({ url })).toEqual(login);
  });

  test('is what was said beside the address', () => {
    const url = 'nats://ada:secret@one';
    expect(loginOf({ url, user: 'bob', password: 'own' })).toEqual({ user: 'bob', password: 'own' });
    expect(loginOf({ url, token: 'mine' })).toEqual({ token: 'mine' });
    expect(loginOf({ url: 'nats://ada@one', password: 'own' })).toEqual({ user: 'ada', password: 'own' });
  });
});
