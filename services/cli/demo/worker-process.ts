import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from '#shared/client/client.ts';
import { type Analysis, analyse } from './analyse.ts';

// One worker of the demo's fleet: leases files, looks into the cache by the hash of their content, analyses what is new.

const utf8 = new TextDecoder('utf-8', { fatal: true });
const name = `demo-worker-${process.argv[2] ?? '1'}`;
const trivet = await connect({ name });
const results = trivet.cache<Analysis>('demo');

trivet.worker<{ path: string }, Analysis>(
  'demo',
  ({ path }) =>
    trivet.telemetry.time('analyse', async () => {
      const bytes = await readFile(path);
      const hash = createHash('sha256').update(bytes).digest('hex');
      return results.getOrSet(hash, () => analyse(utf8.decode(bytes), path, existsSync), { ttl: '1h' });
    }),
  { concurrency: 16, name },
);

process.once('SIGTERM', () => void trivet.close().then(() => process.exit(0)));
process.once('disconnect', () => process.exit(0));
process.send?.({ type: 'ready' });
