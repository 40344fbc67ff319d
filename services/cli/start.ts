import { runInForeground } from './foreground.ts';

// `npm start`: the whole cluster on this machine, in the foreground.

await runInForeground(process.argv.slice(2));
