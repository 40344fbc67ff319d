import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { VirtualLog, VirtualStream, calmNetwork } from '#tests/support/virtual-log.ts';
import { partitionLogContract } from './partition-log.contract.ts';

partitionLogContract('the virtual log', () => {
  const clock = new VirtualClock();
  const stream = new VirtualStream();
  const options = { stream, world: clock, process: clock, network: calmNetwork };
  return Promise.resolve({
    connect: () => Promise.resolve(new VirtualLog(options)),
    wait: (promise) => clock.until(promise),
    drop: (sequence) => {
      stream.drop(sequence);
      return Promise.resolve();
    },
    dispose: () => Promise.resolve(),
  });
});
