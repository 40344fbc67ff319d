import { keepHeapSmall } from './heap.ts';

// Before the program is loaded: what loading leaves behind would have made the young generation large for good.
keepHeapSmall();
await import('./collector-main.ts');
