import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '#tests/support/free-port.ts';
import { grpcPaths } from '#services/telemetry-collector/otlp-grpc.ts';
import { receiveGrpc } from '#services/telemetry-collector/otlp-grpc-receiver.ts';
import { type ReceiverOptions, receiveHttp } from '#services/telemetry-collector/otlp-http-receiver.ts';
import type { OtlpIntake } from '#services/telemetry-collector/otlp-intake.ts';

const options: ReceiverOptions = {
  host: '127.0.0.1',
  port: 0,
  token: undefined,
  intake: {
    bytesMax: 1_000_000,
    take: () => Promise.resolve({ kind: 'stored', rejected: 0, reason: '' }),
  } as unknown as OtlpIntake,
};

/** How long it takes, in milliseconds. A process that drains has ten seconds for all that it does. */
async function timeOf(action: Promise<void>): Promise<number> {
  const startMs = performance.now();
  await action;
  return performance.now() - startMs;
}

test.each([
  ['says nothing', ''],
  [
    'has said half of what it says',
    'POST /v1/logs HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Type: application/x-protobuf\r\n\r\nabc',
  ],
])('an HTTP receiver ends in time beside a sender that %s', async (_what, text) => {
  const receiver = await receiveHttp(options);
  const socket = connect(receiver.port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(text);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await timeOf(receiver.stop())).toBeLessThan(5_000);
});

test('a gRPC receiver ends in time beside a sender that has said half of what it says', async () => {
  const receiver = await receiveGrpc(options);
  const session = connectHttp2(`http://127.0.0.1:${receiver.port}`);
  onTestFinished(() => session.destroy());
  session.on('error', () => undefined);
  const stream = session.request({
    ':method': 'POST',
    ':path': grpcPaths.logs,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  stream.write(Buffer.from([0, 0, 0]));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(await timeOf(receiver.stop())).toBeLessThan(5_000);
});

/** Containers often have no IPv6: what is received there is received on an address of IPv4. */
const loopback = Object.values(networkInterfaces()).some((some) =>
  some?.some(({ address }) => address === '::1'),
)
  ? '::1'
  : '127.0.0.1';

test('OTLP is received on an address of IPv6, over both protocols', async () => {
  const intake = { bytesMax: 65_536 } as unknown as OtlpIntake;
  for (const receive of [receiveHttp, receiveGrpc]) {
    const port = await freePort();
    const receiver = await receive({ host: loopback, port, token: undefined, intake });
    expect(receiver.port).toBe(port);
    const socket = connect({ host: loopback, port });
    await once(socket, 'connect');
    socket.destroy();
    await receiver.stop();
  }
});
