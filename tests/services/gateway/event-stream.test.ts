import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { EventStreams } from '#services/gateway/event-stream.ts';
import type { EventListener, LiveEvents } from '#services/gateway/live-events.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';

// What a stream does with a reader who has stopped to read, at its end above all.

const event = { id: 'a-1-1', area: 'queue', name: 'q', state: 'done', data: '{}' };

function world() {
  const clock = new ManualClock(0);
  const listeners = new Set<EventListener>();
  const events = {
    listen: (listener: EventListener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    missedSince: () => undefined,
  } as unknown as LiveEvents;
  const streams = new EventStreams({ events, clock });
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const faults: unknown[] = [];
  response.on('error', (fault) => faults.push(fault));
  // A connection that takes the first bytes and then nothing more.
  response.assignSocket(new Writable({ highWaterMark: 1, write: () => undefined }) as Socket);
  let mayStay = true;
  streams.serve(
    response,
    {},
    { reader: 'k-1', lastEventId: undefined, shows: () => true, mayStay: () => Promise.resolve(mayStay) },
  );
  return {
    streams,
    response,
    faults,
    revoke: () => {
      mayStay = false;
    },
    happen: () => {
      for (const listener of listeners) listener(event);
    },
    pass: (ms: number) =>
      clock.advance(ms, async () => {
        await new Promise(setImmediate);
      }),
  };
}

test('nothing is written behind the end of a stream whose reader lost his rights while he did not read', async () => {
  const { faults, response, revoke, happen, pass } = world();
  happen();
  revoke();
  await pass(1_000);
  expect(response.writableEnded).toBe(true);
  happen();
  happen();
  await pass(1_000);
  expect(faults).toEqual([]);
});

test('a reader who reads nothing holds up neither the end of his stream nor that of the gateway', async () => {
  const { streams, response, faults, pass } = world();
  streams.close();
  for (let second = 0; second < 20; second += 1) await pass(1_000);
  expect(response.destroyed).toBe(true);
  expect(streams.count).toBe(0);
  expect(faults).toEqual([]);
});
