import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// The suffix of a test file says what it needs (see CONTRIBUTING.md); each kind is a project of its own,
// so that `npm run check` can run the fast ones alone and a machine without Docker can run the rest.
const kind = (name: string, include: string[], options: { exclude?: string[]; isolate?: boolean } = {}) => ({
  extends: true as const,
  test: { ...options, name, include, exclude: ['node_modules/**', ...(options.exclude ?? [])] },
});

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Tests start some hundred processes, each of which reads the same modules: a quarter of what a start costs.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules', '.cache', 'node-compile') },
    projects: [
      kind('fast', ['tests/**/*.test.ts'], {
        exclude: [
          'tests/**/*.{nats,container,browser,sim,collector,redis,postgres,interop,prometheus,e2e,chaos}.test.ts',
        ],
        // They change nothing outside of themselves: the modules of all files are read once, which is half of the time.
        isolate: false,
      }),
      kind('sim', ['tests/**/*.sim.test.ts']),
      kind('nats', ['tests/**/*.nats.test.ts']),
      kind('collector', ['tests/**/*.collector.test.ts']),
      kind('redis', ['tests/**/*.redis.test.ts']),
      kind('postgres', ['tests/**/*.postgres.test.ts']),
      kind('interop', ['tests/**/*.interop.test.ts']),
      kind('prometheus', ['tests/**/*.prometheus.test.ts']),
      kind('container', ['tests/**/*.container.test.ts']),
      kind('browser', ['tests/**/*.browser.test.ts']),
      kind('e2e', ['tests/**/*.e2e.test.ts']),
      kind('chaos', ['tests/**/*.chaos.test.ts']),
    ],
  },
});
