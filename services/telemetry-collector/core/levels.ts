import { type TelemetryLevel, telemetryLevels } from '#shared/protocol/telemetry-records.ts';

/** True when a record of `level` is kept by a filter that begins at `levelMin`. */
export const isAtLeast = (level: TelemetryLevel, levelMin: TelemetryLevel): boolean =>
  telemetryLevels.indexOf(level) >= telemetryLevels.indexOf(levelMin);
