import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** The packages that a program loads with one of our modules. */
const packagesOf = (module: string): readonly string[] =>
  JSON.parse(
    execFileSync(process.execPath, ['tests/shared/client/loaded-packages.ts', module], { encoding: 'utf8' }),
  ) as string[];

test.each(['client/client.ts', 'client/request.ts', 'runtime/nats.ts'])(
  'whoever loads shared/%s does not wait for schemas, which most programs never need',
  (module) => {
    const packages = packagesOf(`#shared/${module}`);
    expect(packages).toContain('@nats-io/nats-core');
    expect(packages).not.toContain('typebox');
  },
);
