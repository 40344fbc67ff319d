import { type TelemetryType, telemetryRecords } from '#shared/protocol/telemetry-records.ts';
import { type Validator, validator } from '#shared/protocol/validation.ts';

// A file of its own: it is loaded with the first record.

export const recordChecks: Readonly<Record<TelemetryType, Validator<unknown>>> = {
  metric: validator(telemetryRecords.metric),
  event: validator(telemetryRecords.event),
  performance: validator(telemetryRecords.performance),
  error: validator(telemetryRecords.error),
  log: validator(telemetryRecords.log),
};
