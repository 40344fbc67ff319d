import { type ConfigOf, type SettingTable, configFile, readConfig } from './config.ts';
import { StartRefused, exitCodes } from './exit-codes.ts';
import { type Ending, type Service, runProcess } from './lifecycle.ts';
import { type Log, createLog } from './log.ts';
import type { Nats } from './nats.ts';
import { connectService } from './service-login.ts';
import { type OwnTelemetry, startTelemetry } from './telemetry.ts';

/** The settings that a service process cannot do without: `commonSettings` and `processSettings` together. */
export interface ProcessConfig {
  readonly name: string;
  readonly natsUrl: string;
  readonly natsUser: string | undefined;
  readonly natsPassword: string | undefined;
  readonly logLevel: string;
  readonly otlpEndpoint: string | undefined;
}

/** What a service is built from. */
export interface ServiceParts<Config> {
  readonly config: Config;
  readonly nats: Nats;
  readonly telemetry: OwnTelemetry;
  readonly log: Log;
  readonly ending: Ending;
}

export interface ServiceProcessOptions<Table extends SettingTable> {
  /** `trivet-queue`, `trivet-cache`, `trivet-telemetry` or `trivet-gateway`. */
  readonly service: string;
  readonly version: string;
  readonly settings: Table;
  /** Builds the service. Connection and telemetry are closed after its `drain`. */
  readonly build: (parts: ServiceParts<ConfigOf<Table>>) => Promise<Service> | Service;
}

/**
 * Runs a service as this process: reads its configuration (every fault at once, exit code 2), opens its log, its NATS
 * connection as one of the services, and its own telemetry, and lives as `runProcess` says.
 */
export function runService<Table extends SettingTable>(
  options: ServiceProcessOptions<Table> & (ConfigOf<Table> extends ProcessConfig ? unknown : never),
): void {
  const { service, version, settings, build } = options;
  const read = readConfig(settings, { env: process.env, file: configFile(process) });
  if ('faults' in read) {
    const log = createLog(service, 'info');
    runProcess({
      log,
      start: () => Promise.reject(new StartRefused(exitCodes.usage, read.faults.join('; '))),
    });
    return;
  }
  // The type of the options has made sure that the table has them.
  const config = read.config as ConfigOf<Table> & ProcessConfig;
  const log = createLog(config.name, config.logLevel);
  const start = async (ending: Ending): Promise<Service> => {
    const nats = await connectService({
      url: config.natsUrl,
      user: config.natsUser,
      password: config.natsPassword,
      name: config.name,
      log,
    });
    const { otlpEndpoint } = config;
    const telemetry = await startTelemetry({ service, instance: config.name, version, otlpEndpoint });
    const built = await build({ config, nats, telemetry, log, ending });
    return {
      recover: () => built.recover(),
      serve: () => built.serve(),
      drain: async () => {
        await built.drain();
        await telemetry.shutdown();
        await nats.connection.drain();
      },
    };
  };
  runProcess({ log, start });
}
