import { provideBaseImages } from './base-images.ts';

// Makes the images that the container tests are built on ahead of them: they want much of the network and little of the
// processor, so `.ci/run` lets it run beside other things.

await provideBaseImages();
