import { registerHooks } from 'node:module';

// Loads the client, and prints the packages that came with it as JSON: loaded-packages.ts <file>.

const packages = new Set<string>();
registerHooks({
  load: (url, context, next) => {
    const [, name] = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? [];
    if (name !== undefined) packages.add(name);
    return next(url, context);
  },
});
await import(process.argv[2] ?? '');
console.log(JSON.stringify([...packages].toSorted()));
