import { setTimeout } from 'node:timers/promises';
import { connect } from '#shared/client/client.ts';

// A worker whose handlers block their thread, as a process of its own: blocking-worker.ts <url> <queue> <ms> <lease> <ms before>.

const [url = '', queue = '', blockMs = '', lease = '', beforeMs = ''] = process.argv.slice(2);
const trivet = await connect({ url });
const tell = (event: object) => process.send?.(event);

trivet.worker(
  queue,
  async (payload, job) => {
    tell({ began: payload });
    if (beforeMs !== '0') await setTimeout(Number(beforeMs));
    job.progress({ begun: payload });
    tell({ blocks: payload });
    // Not one turn of the event loop until it is over.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(blockMs));
    tell({ ended: payload });
  },
  { lease, concurrency: 2, name: 'blocking', onError: (error) => tell({ error: error.message }) },
);
process.on('message', () => {
  void trivet.close().then(() => process.disconnect());
});
