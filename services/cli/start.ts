import { keepCompiled } from './compile-cache.ts';

// `npm start`: the whole cluster on this machine, in the foreground.

// Before anything of it is loaded, since its modules are what it is about.
keepCompiled(process.env);
const { runInForeground } = await import('./foreground.ts');
await runInForeground(process.argv.slice(2));
