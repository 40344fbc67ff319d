import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import { listening } from '#shared/runtime/listening.ts';
import { type Exposition, expositionFor } from './core/prometheus-text.ts';
import type { PrometheusReply } from '#shared/protocol/telemetry-replies.ts';

export interface MetricsServer {
  /** Base URL; Prometheus asks for `/metrics` there. */
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Serves Prometheus on loopback: whoever may reach it from elsewhere goes through the gateway, which asks who it is.
 * @param port 0 is any free one
 * Rejects where the port is taken.
 */
export async function serveMetrics(
  port: number,
  scrape: (exposition: Exposition) => PrometheusReply,
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?', 1)[0];
    if (path !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('Only /metrics is served here.\n');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
      return;
    }
    const { contentType, text } = scrape(expositionFor(request.headers.accept));
    response.writeHead(200, { 'content-type': contentType });
    response.end(request.method === 'HEAD' ? undefined : text);
  });
  const host = '127.0.0.1';
  await listening({ host, port, settings: 'TRIVET_METRICS_PORT' }, () =>
    once(server.listen(port, host), 'listening'),
  );
  return { url: `http://127.0.0.1:${portOf(server)}`, stop: () => stop(server) };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
