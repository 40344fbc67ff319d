import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** A forbidden import, or a forbidden word in a pure core: where it stands and which rule it breaks. */
export interface Breach {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
}

/** Each library has one door: who may import it. A prefix that ends in `/` stands for a folder. */
const doors: Readonly<Record<string, readonly string[]>> = {
  '@nats-io/jwt': ['shared/runtime/auth-callout.ts', 'tests/'],
  '@nats-io/nkeys': ['shared/runtime/auth-callout.ts', 'shared/runtime/signing-key.ts', 'tests/'],
  '@nats-io/': [
    'shared/runtime/nats.ts',
    'shared/runtime/requests.ts',
    'shared/runtime/auth-callout.ts',
    'shared/runtime/signing-key.ts',
    'tests/',
  ],
  lmdb: ['shared/runtime/lmdb.ts', 'tests/'],
  redis: ['shared/runtime/redis.ts', 'tests/'],
  cockatiel: ['shared/runtime/circuit-breaker.ts', 'tests/'],
  pino: ['shared/runtime/log.ts', 'tests/'],
  msgpackr: [
    'shared/protocol/encoding.ts',
    'shared/protocol/rich-values.ts',
    'shared/runtime/record-codec.ts',
    'tests/',
  ],
  '@opentelemetry/': [
    'shared/runtime/',
    'shared/client/messaging-spans.ts',
    'services/telemetry-collector/',
    'tests/',
  ],
  fastify: ['services/gateway/', 'tests/'],
  '@fastify/': ['services/gateway/', 'tests/'],
  jose: ['services/gateway/', 'shared/client/token-principal.ts', 'tests/'],
  commander: ['services/cli/', 'tests/'],
  typebox: ['shared/protocol/', 'services/gateway/', 'tests/'],
};

const importExpression = /(?:\bfrom\s*|\bimport\s*\(?\s*)'([^']+)'/g;
const impureWords =
  /\b(Date\.now|new Date\(\)|Math\.random|performance\.now|process\.|setTimeout|setInterval|console\.)/;

/** Every breach of the import rules (ARCHITECTURE.md, Layout) in the sources below `root`. */
export function findBreaches(root: string): readonly Breach[] {
  return ['shared', 'services', 'tests'].flatMap((folder) =>
    sourceFiles(root, folder).flatMap((file) => breachesOf(file, readFileSync(join(root, file), 'utf8'))),
  );
}

/** The breaches of one file. `file` is its path from the root, with forward slashes. */
export function breachesOf(file: string, source: string): readonly Breach[] {
  return source.split('\n').flatMap((text, index) => {
    const rules = [...text.matchAll(importExpression)].map((match) => importRule(file, match[1] ?? ''));
    if (isCore(file) && impureWords.test(withoutComment(text)))
      rules.push('a core has no clock, randomness or process');
    return rules.filter((rule) => rule !== undefined).map((rule) => ({ file, line: index + 1, rule }));
  });
}

function importRule(file: string, imported: string): string | undefined {
  if (imported.startsWith('../')) return `no import goes up: ${imported}`;
  if (isCore(file)) {
    const allowed =
      imported.startsWith('./') || imported.startsWith('#shared/protocol/') || imported === 'xstate';
    return allowed ? undefined : `a core sees itself, #shared/protocol and xstate: ${imported}`;
  }
  if (file.startsWith('shared/protocol/') && imported.startsWith('#'))
    return `the protocol imports nothing of ours: ${imported}`;
  if (
    file.startsWith('shared/runtime/') &&
    imported.startsWith('#') &&
    !imported.startsWith('#shared/protocol/')
  ) {
    return `the runtime sees the protocol alone: ${imported}`;
  }
  if (!file.startsWith('tests/') && imported.startsWith('#services/'))
    return `a service is not imported, it is asked over NATS: ${imported}`;
  // `trivet/testing` is the insides of the broker: by its public name it would be a way around the rule above.
  if (!file.startsWith('tests/') && /^trivet(\/|$)/.test(imported))
    return `the package does not import itself by its public name: ${imported}`;
  if (!file.startsWith('tests/') && imported.startsWith('#tests/'))
    return `the tests are not there where this runs: ${imported}`;
  return doorRule(file, imported);
}

function doorRule(file: string, imported: string): string | undefined {
  for (const [library, allowed] of Object.entries(doors)) {
    const meant = library.endsWith('/')
      ? imported.startsWith(library)
      : imported === library || imported.startsWith(`${library}/`);
    if (!meant) continue;
    if (allowed.some((place) => (place.endsWith('/') ? file.startsWith(place) : file === place)))
      return undefined;
    return `${imported} has one door: ${allowed[0]}`;
  }
  return undefined;
}

const isCore = (file: string): boolean => /^services\/[^/]+\/core\//.test(file);

const withoutComment = (text: string): string => text.replace(/\/\/.*$/, '').replace(/^\s*\*.*$/, '');

/** The test of these rules plants breaches, so it is not read. */
function sourceFiles(root: string, folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter(
      (name) =>
        /\.tsx?$/.test(name) && !name.includes('node_modules/') && !name.endsWith('/boundaries.test.ts'),
    );
}
