import { expect } from 'vitest';
import type { RunningGateway } from './running-gateway.ts';

/** Calls of `/v1` in few words, on a gateway that runs by the time of the first one. */
export function asking(gateway: () => RunningGateway) {
  const ask = (
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ) => gateway().call(method, path, { ...(body === undefined ? {} : { body }), headers });

  /** Enqueues an item over HTTP; its id. */
  async function enqueue(queue: string, item: object): Promise<string> {
    const added = await ask('POST', `/v1/queues/${queue}/enqueue`, item);
    expect(added.status).toBe(201);
    return String(added.body['id']);
  }

  return { ask, enqueue };
}
