import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

// Both halves of the young generation: what lives for one group of records fits, and garbage does not wait long.
const youngBytes = 8 * 1_048_576;
// Enough to make it grow, however V8 counts.
const piecesMax = 4_096;

/**
 * Keeps the heap small. What the collector makes of a message is garbage within a second, and V8, left alone, lets it
 * pile up to several times of what lives before it looks (docs/decisions/0022-small-heap.md). Called before the program
 * is loaded.
 */
export function keepHeapSmall(): void {
  // The old generation is looked through when there is twice as much garbage as what lives, bytes outside it included.
  setFlagsFromString('--heap-growing-percent=200');
  // The young one grows fourfold when much survives: once, and then never again.
  setFlagsFromString('--semi-space-growth-factor=4');
  const surviving: number[][] = [];
  while (bytesOfYoung() < youngBytes && surviving.length < piecesMax)
    surviving.push(Array.from({ length: 500 }, () => surviving.length));
  setFlagsFromString('--semi-space-growth-factor=1');
}

const bytesOfYoung = (): number =>
  getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')?.space_size ?? youngBytes;
