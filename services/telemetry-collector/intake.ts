import { isIP } from 'node:net';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import type { OtlpPorts } from '#shared/runtime/lifecycle.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { DeadLetters } from './collector-service.ts';
import type { Destinations } from './destinations.ts';
import { OtlpIntake } from './otlp-intake.ts';
import { type ReceivedElsewhere, Receivers } from './receivers.ts';
import { StatsdReceiver } from './statsd-receiver.ts';

/** The ways in beside NATS. */
export interface Intake {
  /** @param elsewhere asked about a port that is taken */
  start(elsewhere: ReceivedElsewhere): Promise<void>;
  /** Where OTLP is received now. */
  ports(): OtlpPorts;
  /** Takes nothing more; what was taken is stored. */
  stop(): Promise<void>;
}

export interface IntakeConfig {
  readonly otlpHost: string;
  readonly otlpHttpPort: number | 'off';
  readonly otlpGrpcPort: number | 'off';
  readonly otlpToken: string | undefined;
  readonly statsdHost: string;
  readonly statsdPort: number | 'off';
  readonly statsdSource: string;
}

export interface IntakeParts {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly deadLetters: DeadLetters;
  readonly destinations: Pick<Destinations, 'plans'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The ways in that a configuration opens. Refuses to open OTLP to the network without a token. */
export function intakeOf(config: IntakeConfig, parts: IntakeParts): Intake {
  const { nats, subjects, deadLetters, clock, log } = parts;
  const token = config.otlpToken === '' ? undefined : config.otlpToken;
  if (token === undefined && !isLoopback(config.otlpHost))
    throw new StartRefused(
      exitCodes.usage,
      `TRIVET_OTLP_HOST ${config.otlpHost} is open to the network: set TRIVET_OTLP_TOKEN, too`,
    );
  const receivers = new Receivers({
    host: config.otlpHost,
    httpPort: config.otlpHttpPort,
    grpcPort: config.otlpGrpcPort,
    token,
    intake: new OtlpIntake({ nats, subjects, deadLetters, clock }),
    destinations: () => parts.destinations.plans,
    clock,
    log,
  });
  const { statsdPort, statsdHost: host, statsdSource: source } = config;
  const statsd =
    statsdPort === 'off'
      ? undefined
      : new StatsdReceiver({ host, port: statsdPort, source, nats, subjects, deadLetters, clock, log });
  return {
    ports: () => receivers.ports,
    start: async (elsewhere) => {
      await receivers.start(elsewhere);
      if (statsd !== undefined) log.info({ host, port: await statsd.start() }, 'StatsD is received');
    },
    stop: async () => {
      await Promise.all([receivers.stop(), statsd?.stop()]);
    },
  };
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
