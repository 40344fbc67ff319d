import { join } from 'node:path';

import { runInForeground } from '#services/cli/foreground.ts';

// `npm start` with stand-ins for the four services: what is tested is the supervisor.
await runInForeground(process.argv.slice(2), () => join(import.meta.dirname, 'stand-in-service.ts'));
