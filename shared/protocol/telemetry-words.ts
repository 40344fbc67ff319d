/** The kinds of telemetry. Without their schemas, which the client would wait for. */
export const telemetryKinds = ['metric', 'event', 'performance', 'error', 'log'] as const;
