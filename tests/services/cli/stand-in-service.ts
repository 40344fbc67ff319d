import { createServer } from 'node:http';

// A service as the supervisor sees one: it logs JSON lines, says that it is ready, drains on SIGTERM and when the
// supervisor is gone. STAND_IN makes it misbehave: `<name>:<what>`.

const name = process.env['TRIVET_NAME'] ?? 'unnamed';
const [misbehaving, what] = (process.env['STAND_IN'] ?? '').split(':');
const behaviour = misbehaving === name ? what : undefined;
const log = (msg: string) => process.stdout.write(`${JSON.stringify({ level: 'info', name, msg })}\n`);
process.stdout.on('error', () => undefined);

if (behaviour === 'refuse') {
  process.stdout.write(`${JSON.stringify({ level: 'fatal', name, msg: 'TRIVET_PARTITIONS must be 4' })}\n`);
  process.exit(2);
}

const drain = () => {
  log(`drained ${name}`);
  if (behaviour !== 'hang') process.exit(0);
};
process.on('SIGTERM', drain);
process.on('disconnect', drain);

log(`token is ${process.env['TRIVET_TOKEN'] ?? 'not mine'}`);
// A collector speaks HTTP as well, for Prometheus.
const metricsPort = name.startsWith('telemetry-collector')
  ? (process.env['TRIVET_METRICS_PORT'] ?? '0')
  : undefined;
const httpPort = process.env['TRIVET_HTTP_PORT'] ?? metricsPort;
if (httpPort === undefined) process.send?.({ type: 'ready' });
else {
  const server = createServer((_request, response) => response.end(name));
  server.listen(Number(httpPort), '127.0.0.1', () => {
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    process.send?.({ type: 'ready', http: `http://127.0.0.1:${port}` });
  });
}
setInterval(() => undefined, 60_000);
