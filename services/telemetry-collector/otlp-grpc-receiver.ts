import type { ServiceDefinition, UntypedServiceImplementation, handleUnaryCall } from '@grpc/grpc-js';
import { systemClock } from '#shared/runtime/clock.ts';
import { type Signal, signals } from './core/otlp-chunks.ts';
import { partialBytes } from './otlp-answers.ts';
import { grpcPaths, loadGrpc } from './otlp-grpc.ts';
import { type Receiver, type ReceiverOptions, isAuthorized, stopMsMax } from './otlp-http-receiver.ts';

const asIs = (bytes: Buffer): Buffer => bytes;

/** Receives OTLP over gRPC. Rejects where the port is taken. */
export async function receiveGrpc({ host, port, token, intake }: ReceiverOptions): Promise<Receiver> {
  const grpc = await loadGrpc();
  const server = new grpc.Server({
    'grpc.max_receive_message_length': intake.bytesMax,
    'grpc.max_concurrent_streams': 256,
  });
  const { UNAUTHENTICATED, UNAVAILABLE, INVALID_ARGUMENT } = grpc.status;
  const serve =
    (signal: Signal): handleUnaryCall<Buffer, Buffer> =>
    (call, answer) => {
      const [authorization] = call.metadata.get('authorization');
      if (token !== undefined && !isAuthorized(authorization?.toString(), token)) {
        answer({ code: UNAUTHENTICATED, details: 'a bearer token is needed' });
        return;
      }
      const take = async (): Promise<void> => {
        const outcome = await intake.take(signal, call.request);
        if (outcome.kind === 'stored') answer(null, Buffer.from(partialBytes(outcome)));
        else {
          const code = outcome.kind === 'busy' ? UNAVAILABLE : INVALID_ARGUMENT;
          answer({ code, details: outcome.reason });
        }
      };
      // Never rejects: whatever happens is an outcome.
      void take();
    };
  for (const signal of signals) {
    const implementation: UntypedServiceImplementation = { export: serve(signal) };
    server.addService(serviceOf(signal), implementation);
  }
  const bound = await new Promise<number>((resolve, reject) => {
    // An address of IPv6 has colons of its own.
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, number) => {
      if (error === null) resolve(number);
      else reject(error);
    });
  });
  return {
    port: bound,
    stop: () =>
      new Promise((resolve) => {
        // Who has not said all by then says it again, to whoever receives it next.
        const cancel = systemClock.after(stopMsMax, () => server.forceShutdown());
        server.tryShutdown(() => {
          cancel();
          resolve();
        });
      }),
  };
}

const serviceOf = (signal: Signal): ServiceDefinition => ({
  export: {
    path: grpcPaths[signal],
    requestStream: false,
    responseStream: false,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  },
});
