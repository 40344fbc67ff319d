import type { Sample, Workload } from '#tests/bench/measure.ts';
import type { Contestant } from './contestant.ts';

export interface Comparison extends Pick<Workload, 'workload' | 'unit' | 'notes'> {
  readonly peerName: string;
  readonly ours: () => Promise<Contestant>;
  readonly peer: () => Promise<Contestant>;
  /** One round of one side. */
  readonly run: (side: Contestant, round: number) => Promise<Sample>;
  /** What the peer does instead, where that is the comparison. */
  readonly runPeer?: (side: Contestant, round: number) => Promise<Sample>;
  /** Keys that are set on both sides before the first round. */
  readonly keys: number;
}

/** The same run on both sides by turns, each in a client process of its own. */
export const compared = (comparison: Comparison): Workload => ({
  workload: comparison.workload,
  unit: comparison.unit,
  durability: 'in memory',
  peerName: comparison.peerName,
  notes: comparison.notes,
  open: async () => {
    const { keys, run, runPeer = run } = comparison;
    const ours = await comparison.ours();
    try {
      const peer = await comparison.peer();
      await ours.client.run('fill', { keys });
      await peer.client.run('fill', { keys });
      return {
        ours: (round) => run(ours, round),
        peer: (round) => runPeer(peer, round),
        close: async () => {
          await ours.stop();
          await peer.stop();
        },
      };
    } catch (error) {
      await ours.stop();
      throw error;
    }
  },
});
