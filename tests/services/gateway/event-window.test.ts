import { expect, test } from 'vitest';
import { EventWindow } from '#services/gateway/core/event-window.ts';

const event = (data: string) => ({ area: 'queue', name: 'q', state: 'done', data });
const window = (gateway = 'a', eventsMax = 3, bytesMax = 1_000) =>
  new EventWindow({ gateway, eventsMax, bytesMax }, 0);
const dataIn = (missed: { readonly events: readonly { readonly data: string }[] } | undefined) =>
  missed?.events.map(({ data }) => data);

test('at its own gateway a stream goes on exactly behind the id', () => {
  const kept = window();
  const ids = ['1', '2', '3'].map((data) => kept.add(event(data), 10).id);
  expect(kept.after(ids[0] ?? '')).toMatchObject({ gap: false });
  expect(dataIn(kept.after(ids[0] ?? ''))).toEqual(['2', '3']);
  expect(kept.after(ids[2] ?? '')).toEqual({ events: [], gap: false });
});

test('what the window has forgotten is a gap, by number and by bytes', () => {
  const kept = window('a', 3, 8);
  const first = kept.add(event('1'), 10).id;
  for (const data of ['2', '3', '4', '5']) kept.add(event(data), 10);
  expect(kept.after(first)).toMatchObject({ gap: true });
  expect(dataIn(kept.after(first))).toEqual(['3', '4', '5']);
  kept.add(event('12345678'), 10);
  expect(dataIn(kept.after(first))).toEqual(['12345678']);
});

test('at another gateway it goes on by time, and rather shows an event twice than not at all', () => {
  const there = window('b');
  const other = window('a', 100);
  const id = there.add(event('x'), 10_000).id;
  for (const atMs of [7_000, 8_500, 9_999, 10_001]) other.add(event(String(atMs)), atMs);
  expect(dataIn(other.after(id))).toEqual(['8500', '9999', '10001']);
  expect(new EventWindow({ gateway: 'c', eventsMax: 3, bytesMax: 9 }, 9_500).after(id)).toEqual({
    events: [],
    gap: true,
  });
});

test('an id that nobody gave is none, and one from the future is a gap', () => {
  expect(window().after('')).toBeUndefined();
  expect(window().after('a-1')).toBeUndefined();
  expect(window().after('a-9-9')).toEqual({ events: [], gap: true });
});
