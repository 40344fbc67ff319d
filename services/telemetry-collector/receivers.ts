import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { DestinationPlan } from './core/pipelines.ts';
import { receiveGrpc } from './otlp-grpc-receiver.ts';
import { type Receiver, type ReceiverOptions, receiveHttp } from './otlp-http-receiver.ts';
import type { OtlpIntake } from './otlp-intake.ts';

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

/** The ports on which OTLP is received. */
export class Receivers {
  readonly #options: ReceiversOptions;
  readonly #open: Receiver[] = [];
  #isStopped = false;

  constructor(options: ReceiversOptions) {
    this.#options = options;
  }

  /** Resolves when each port was tried once. */
  async start(): Promise<void> {
    const { httpPort, grpcPort } = this.#options;
    await Promise.all([
      this.#listen('OTLP over HTTP', httpPort, receiveHttp),
      this.#listen('OTLP over gRPC', grpcPort, receiveGrpc),
    ]);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#open.splice(0).map((one) => one.stop()));
  }

  async #listen(
    what: string,
    port: number | 'off',
    receive: (options: ReceiverOptions) => Promise<Receiver>,
  ): Promise<void> {
    if (port === 'off') return;
    if (!(await this.#tried(what, port, receive))) void this.#keepTrying(what, port, receive);
  }

  async #keepTrying(
    what: string,
    port: number,
    receive: (options: ReceiverOptions) => Promise<Receiver>,
  ): Promise<void> {
    const { clock } = this.#options;
    do await sleep(clock, againMs);
    while (!this.#isStopped && !(await this.#tried(what, port, receive, true)));
  }

  async #tried(
    what: string,
    port: number,
    receive: (options: ReceiverOptions) => Promise<Receiver>,
    isQuiet = false,
  ): Promise<boolean> {
    const { host, token, intake, destinations, log } = this.#options;
    if (isDestination(port, destinations())) {
      if (!isQuiet) log.info({ port }, `${what} is not received here: the port is that of a destination`);
      return false;
    }
    try {
      const receiver = await receive({ host, port, token, intake });
      if (this.#isStopped) await receiver.stop();
      else this.#open.push(receiver);
      log.info({ host, port: receiver.port }, `${what} is received`);
      return true;
    } catch (error) {
      if (!isQuiet)
        log.warn({ port, err: error }, `${what} is not received here as long as the port is taken`);
      return false;
    }
  }
}

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
