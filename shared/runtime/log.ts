import { type Logger, destination, pino, stdTimeFunctions } from 'pino';

/** A structured log: one JSON line a state change on stdout, none a message. */
export type Log = Logger;

/** Values under these names never reach a log line. */
const secretNames = [
  'token',
  'password',
  'pass',
  'secret',
  'authorization',
  'cookie',
  'apiKey',
  'privateKey',
];
const redacted = secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/**
 * The log of a process.
 * @param name  of the process, such as `queue-broker-1`
 * @param level pino's: `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`
 */
export const createLog = (name: string, level: string): Log =>
  pino(
    {
      name,
      level,
      timestamp: stdTimeFunctions.isoTime,
      redact: redacted,
      formatters: { level: (label) => ({ level: label }) },
      base: { name, pid: process.pid },
    },
    // Synchronous: the last line before a crash is the one that people need.
    destination({ fd: 1, sync: true }),
  );
