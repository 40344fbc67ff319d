import autocannon from 'autocannon';
import type { Sample } from '#tests/bench/measure.ts';
import { type Processes, withCpu } from '#tests/bench/process-figures.ts';

export interface Load {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly token?: string;
  readonly body?: object;
  readonly seconds: number;
  /** Whose processor time is told, by what it is called. */
  readonly processes: Processes;
}

/** Connections at once: what a few application servers with pools hold. */
const connections = 64;

/** Sends requests as fast as they are answered; rejects when one of them is not answered well. */
export async function loaded(load: Load): Promise<Sample> {
  const { url, method, token, body, seconds } = load;
  let result: autocannon.Result | undefined;
  const run = async (): Promise<void> => {
    result = await autocannon({
      url,
      method,
      connections,
      duration: seconds,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  };
  const { cpu } = await withCpu(load.processes, 1, run);
  if (result === undefined) throw new Error('nothing was measured');
  const good = result['2xx'];
  if (result.non2xx > 0 || result.errors > 0 || good === 0)
    throw new Error(`${result.non2xx} refused and ${result.errors} failed of ${good} requests to ${url}`);
  return {
    value: good / result.duration,
    p50: result.latency.p50,
    p99: result.latency.p99,
    cpu: Object.fromEntries(Object.entries(cpu).map(([name, micros]) => [name, micros / good])),
  };
}
