import { once } from 'node:events';
import { createServer } from 'node:http';
import { chunksOf, itemsIn } from '#services/telemetry-collector/core/otlp-chunks.ts';

// Takes OTLP over HTTP and counts the items, in a process of its own: it must not be what is measured.

export interface SinkMessage {
  readonly endpoint?: string;
  readonly items?: number;
}

let isRefusing = false;
process.on('message', (told: boolean) => {
  isRefusing = told;
});
// Whoever started it has ended without a word.
process.once('disconnect', () => process.exit());

const server = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    if (isRefusing) {
      response.writeHead(503).end();
      return;
    }
    const count = itemsIn(chunksOf(Buffer.concat(parts)));
    response.writeHead(200, { 'content-type': 'application/x-protobuf' });
    response.end();
    process.send?.({ items: count } satisfies SinkMessage);
  });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
const port = typeof address === 'object' && address !== null ? address.port : 0;
process.send?.({ endpoint: `http://127.0.0.1:${port}` } satisfies SinkMessage);
