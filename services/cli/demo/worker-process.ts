import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from '#shared/client/client.ts';
import { type Analysis, type Reading, checkLinks, read } from './analyse.ts';

// One worker of the demo's fleet: leases files, looks into the cache by the hash of their content, reads what is new.

const utf8 = new TextDecoder('utf-8', { fatal: true });
const name = `demo-worker-${process.argv[2] ?? '1'}`;
const trivet = await connect({ name });
const readings = trivet.cache<Reading>('demo');

trivet.worker<{ path: string }, Analysis>(
  'demo',
  ({ path }) =>
    trivet.telemetry.time('analyse', async () => {
      const bytes = await readFile(path);
      const hash = createHash('sha256').update(bytes).digest('hex');
      const reading = await readings.getOrSet(hash, () => read(utf8.decode(bytes)), { ttl: '1h' });
      return checkLinks(reading, path, existsSync);
    }),
  { concurrency: 16, name },
);

process.once('SIGTERM', () => void trivet.close().then(() => process.exit(0)));
process.once('disconnect', () => process.exit(0));
process.send?.({ type: 'ready' });
