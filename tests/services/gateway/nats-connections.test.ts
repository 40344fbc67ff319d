import { expect, test } from 'vitest';
import type { CredentialStore } from '#services/gateway/credential-store.ts';
import { NatsConnections } from '#services/gateway/nats-connections.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { Log } from '#shared/runtime/log.ts';

const nowMs = Date.parse('2026-03-01T12:00:00Z');
const minute = 60_000;

/** Which connections the first sweep ends of one made so long before a revocation and one made so long after. */
async function endedBySweep(serverIsAheadByMs: number, apartMs = 2 * minute): Promise<readonly number[]> {
  const ended: number[] = [];
  const serverTime = (ms: number) => new Date(ms + serverIsAheadByMs).toISOString().replace('Z', '123456Z');
  const revokedMs = nowMs - 5 * minute + 800;
  const connz = {
    server: { id: 'N' },
    data: {
      total: 2,
      now: serverTime(nowMs),
      connections: [
        { cid: 1, authorized_user: 'u-carol', start: serverTime(revokedMs - apartMs) },
        { cid: 2, authorized_user: 'u-carol', start: serverTime(revokedMs + apartMs) },
      ],
    },
  };
  const connection = {
    requestMany: () => Promise.resolve([{ json: () => connz }]),
    request: (_: string, body: string) => {
      ended.push((JSON.parse(body) as { cid: number }).cid);
      return Promise.resolve();
    },
  };
  const connections = new NatsConnections({
    system: { connection } as unknown as Nats,
    credentials: {
      tokens: () => [],
      token: () => undefined,
      revokedSubjects: () => ['u-carol'],
      revokedBeforeMs: () => Math.floor(revokedMs / 1_000) * 1_000 + 1,
      onChange: () => undefined,
    } as unknown as CredentialStore,
    clock: new ManualClock(nowMs),
    account: 'APP',
    log: { info: () => undefined, error: () => undefined } as unknown as Log,
  });
  connections.start();
  for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
  connections.stop();
  return ended;
}

test.each([0, 3 * minute, -3 * minute])(
  'of a revoked subject the connections from before end, and no later one, with a server ahead by %d ms',
  async (serverIsAheadByMs) => {
    expect(await endedBySweep(serverIsAheadByMs)).toEqual([1]);
  },
);

test('a connection that was made in the second of the revocation ends, too', async () => {
  expect(await endedBySweep(0, 500)).toEqual([1]);
});
