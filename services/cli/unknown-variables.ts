import { knownVariables } from './known-variables.ts';

/** Ours, and no settings of a process: of the `trivet` command, of nats.conf, and what our own processes tell each other. */
const others = new Set([
  'TRIVET_CACHE_DIR',
  'TRIVET_CONFIG',
  'TRIVET_HTTP_URL',
  ...['ISSUER', 'LAUNCH', 'LOG', 'MONITOR', 'STORE', 'XKEY'].map((name) => `TRIVET_NATS_${name}`),
]);

/**
 * Variables that begin as ours do and that nobody reads: mistyped, most likely. Not refused: what stands in an
 * environment may be for another version of us.
 */
export function unknownVariables(env: NodeJS.ProcessEnv): readonly string[] {
  const known = new Set(knownVariables);
  return Object.keys(env)
    .filter((name) => name.startsWith('TRIVET_') && !name.startsWith('TRIVET_TEST_'))
    .filter((name) => !known.has(name) && !others.has(name));
}
