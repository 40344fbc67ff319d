import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { OtlpPorts } from '#shared/runtime/lifecycle.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { DestinationPlan } from './core/pipelines.ts';
import { receiveGrpc } from './otlp-grpc-receiver.ts';
import { type Receiver, type ReceiverOptions, receiveHttp } from './otlp-http-receiver.ts';
import type { OtlpIntake } from './otlp-intake.ts';
import { faultText } from './sender.ts';

export interface ReceiversOptions {
  readonly host: string;
  /** `off` where none is wanted. */
  readonly httpPort: number | 'off';
  readonly grpcPort: number | 'off';
  readonly token: string | undefined;
  readonly intake: OtlpIntake;
  /** Where telemetry goes: what is received there must not be taken from whoever receives it. */
  readonly destinations: () => readonly DestinationPlan[];
  readonly clock: Clock;
  readonly log: Log;
}

// A port that is taken is tried again this often: collectors on one machine stand in for each other.
const againMs = 2_000;

/** One way in: what it is called, the setting of its port, and how it is opened. */
interface Way {
  readonly protocol: keyof OtlpPorts;
  readonly what: string;
  readonly setting: string;
  readonly receive: (options: ReceiverOptions) => Promise<Receiver>;
}

const overHttp: Way = {
  protocol: 'http',
  what: 'OTLP over HTTP',
  setting: 'TRIVET_OTLP_HTTP_PORT',
  receive: receiveHttp,
};
const overGrpc: Way = {
  protocol: 'grpc',
  what: 'OTLP over gRPC',
  setting: 'TRIVET_OTLP_GRPC_PORT',
  receive: receiveGrpc,
};

/** Says whether another collector of this cluster receives on a port. */
export type ReceivedElsewhere = (port: number) => Promise<boolean>;

/** The ports on which OTLP is received. */
export class Receivers {
  readonly #options: ReceiversOptions;
  readonly #open: { readonly protocol: keyof OtlpPorts; readonly receiver: Receiver }[] = [];
  #isStopped = false;

  constructor(options: ReceiversOptions) {
    this.#options = options;
  }

  /** Where this collector receives now. */
  get ports(): OtlpPorts {
    return Object.fromEntries(this.#open.map(({ protocol, receiver }) => [protocol, receiver.port]));
  }

  /** Resolves when each port was tried once. */
  async start(elsewhere: ReceivedElsewhere): Promise<void> {
    const { httpPort, grpcPort } = this.#options;
    await Promise.all([
      this.#listen(overHttp, httpPort, elsewhere),
      this.#listen(overGrpc, grpcPort, elsewhere),
    ]);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#open.splice(0).map(({ receiver }) => receiver.stop()));
  }

  async #listen(way: Way, port: number | 'off', elsewhere: ReceivedElsewhere): Promise<void> {
    if (port === 'off') return;
    const fault = await this.#tried(way, port);
    if (fault !== undefined) void this.#keepTrying(way, port, elsewhere);
  }

  /** Tries until the port is free. Says once what is in the way, and not before the second time: it may be a passing thing. */
  async #keepTrying(way: Way, port: number, elsewhere: ReceivedElsewhere): Promise<void> {
    const { clock } = this.#options;
    for (let isFirst = true; ; isFirst = false) {
      await sleep(clock, againMs);
      if (this.#isStopped) return;
      const fault = await this.#tried(way, port);
      if (fault === undefined) return;
      if (isFirst) await this.#report(way, port, { fault, elsewhere });
    }
  }

  async #report(
    { what, setting }: Way,
    port: number,
    { fault, elsewhere }: { readonly fault: string; readonly elsewhere: ReceivedElsewhere },
  ): Promise<void> {
    const { log } = this.#options;
    if (fault === ownDestination)
      log.info({ port }, `${what} is not received here: the port is that of a destination`);
    else if (await elsewhere(port))
      log.info({ port }, `${what} is received by another collector, for which this one stands in`);
    else
      log.warn(
        { port },
        `${what} is not received here as long as this is so: ${fault}. ` +
          `${setting} names another port, or is off where none is wanted`,
      );
  }

  /** @returns what was in the way, if anything was */
  async #tried({ protocol, what, receive }: Way, port: number): Promise<string | undefined> {
    const { host, token, intake, destinations, log } = this.#options;
    if (isDestination(port, destinations())) return ownDestination;
    try {
      const receiver = await receive({ host, port, token, intake });
      if (this.#isStopped) await receiver.stop();
      else this.#open.push({ protocol, receiver });
      log.info({ host, port: receiver.port }, `${what} is received`);
      return undefined;
    } catch (error) {
      const text = faultText(error);
      // gRPC wraps what the system said.
      return text.includes('EADDRINUSE') ? `port ${port} is taken by another program` : text;
    }
  }
}

const ownDestination = 'destination';

const loopback: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]', '0.0.0.0']);

/** True where a destination of this machine is behind the port: what went out would come in again. */
function isDestination(port: number, plans: readonly DestinationPlan[]): boolean {
  return plans.some(({ connection }) => {
    if (connection.type === 'otlp-grpc') return isAt(connection.target.url, port);
    if (connection.type !== 'otlp-http') return false;
    return Object.values(connection.targets).some((target) => isAt(target.url, port));
  });
}

function isAt(text: string, port: number): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const usual = url.protocol === 'https:' ? '443' : '80';
  return loopback.has(url.hostname) && Number(url.port === '' ? usual : url.port) === port;
}
