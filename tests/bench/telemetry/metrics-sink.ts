import { once } from 'node:events';
import { createServer } from 'node:http';

/** Takes every OTLP request and says nothing about it: both sides send to one, so that neither pays for the other's. */
export interface MetricsSink {
  readonly endpoint: string;
  readonly requests: () => number;
  readonly bytes: () => number;
  stop(): Promise<void>;
}

export async function startMetricsSink(): Promise<MetricsSink> {
  let requests = 0;
  let bytes = 0;
  const server = createServer((request, response) => {
    request.on('data', (part: Buffer) => {
      bytes += part.length;
    });
    request.on('end', () => {
      requests += 1;
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    requests: () => requests,
    bytes: () => bytes,
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
