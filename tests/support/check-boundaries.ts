import { findBreaches } from './boundaries.ts';

// `npm run check:boundaries`: ends with 1 and a line for each breach.
const breaches = findBreaches(process.cwd());
for (const breach of breaches) console.error(`${breach.file}:${breach.line}: ${breach.rule}`);
if (breaches.length > 0) process.exit(1);
console.log('boundaries hold');
