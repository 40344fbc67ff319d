import { Agent, request } from 'node:http';

// Requests at once: enough to keep the OpenTelemetry Collector busy.
const connections = 16;

/** Posts requests to an OTLP receiver, some at once; resolves when each has been answered with a success. */
export async function postAll(
  url: string,
  count: number,
  bodyOf: (index: number) => Uint8Array,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) await post(agent, url, bodyOf(at));
  };
  await Promise.all(Array.from({ length: connections }, worker));
  agent.destroy();
}

function post(agent: Agent, url: string, body: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/x-protobuf', 'content-length': body.length },
    });
    outgoing.on('error', reject);
    outgoing.on('response', (answer) => {
      answer.resume();
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve();
        else reject(new Error(`the OpenTelemetry Collector answered ${answer.statusCode}`));
      });
    });
    outgoing.end(body);
  });
}
