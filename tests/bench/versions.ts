import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The version that a package.json names. */
export const versionIn = (path: string): string =>
  (JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string }).version;

/** The version of the redis-server on PATH. */
export const redisServerVersion = (): string =>
  /v=([0-9.]+)/.exec(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))?.[1] ?? 'unknown';
