import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the heap small: what the collector makes of a message is garbage within a second, and V8, left alone, lets it
 * pile up to several times of what lives before it looks. It looks when there is as much garbage as what lives; sooner
 * would cost a third of the CPU at full speed (docs/decisions/0022-small-heap.md). Called before anything is allocated.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=100');
  setFlagsFromString('--semi-space-growth-factor=1');
}
