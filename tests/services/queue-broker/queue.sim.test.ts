import { expect, test } from 'vitest';
import { simulateQueue } from './queue-simulation.ts';

const seeds = Array.from({ length: 1_000 }, (_, index) => index + 1);

test(
  'whatever fails, nothing is lost, nothing is done twice, and everything comes to an end',
  { timeout: 1_200_000 },
  async () => {
    for (const seed of seeds) {
      try {
        await simulateQueue(seed);
      } catch (error) {
        throw new Error(`seed ${seed} fails; replay it with: SEED=${seed} npm run sim`, { cause: error });
      }
    }
    expect(seeds.length).toBe(1_000);
  },
);
