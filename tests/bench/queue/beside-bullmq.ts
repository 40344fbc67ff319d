import type { Sample, Workload } from '#tests/bench/measure.ts';
import { type Contestant, startBullmq, startTrivet } from './contestant.ts';

export const fsync = 'fsync before the answer';
export const peerName = 'BullMQ, appendfsync everysec';

export interface Comparison extends Pick<Workload, 'workload' | 'unit' | 'notes'> {
  readonly durability?: string;
  /** Client processes on each side. */
  readonly clients: number;
  /** One round of one side. `queue` is new in every round. */
  readonly run: (side: Contestant, queue: string) => Promise<Sample>;
}

/** The same run on both sides by turns: the same processes, the same calls in them, the same checks. */
export const besideBullmq = (comparison: Comparison): Workload => ({
  workload: comparison.workload,
  unit: comparison.unit,
  durability: comparison.durability ?? fsync,
  peerName,
  notes: comparison.notes,
  open: async () => {
    const { workload, clients, run } = comparison;
    const trivet = await startTrivet(clients);
    try {
      const bullmq = await startBullmq(clients);
      return {
        ours: (round) => run(trivet, `${workload}-${round}`),
        peer: (round) => run(bullmq, `${workload}-${round}`),
        close: async () => {
          await trivet.stop();
          await bullmq.stop();
        },
      };
    } catch (error) {
      await trivet.stop();
      throw error;
    }
  },
});

/** The client process at a place; the layout of a workload says how many there are. */
export function clientOf(side: Contestant, index: number) {
  const client = side.clients[index];
  if (client === undefined) throw new Error(`there is no client process ${index}`);
  return client;
}
