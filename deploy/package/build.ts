import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';

// `npm run package [-- FOLDER]`: makes FOLDER/trivet-<version>.tgz (dist by default), what a program of somebody else
// installs: the client, `trivet/keyv`, `trivet/testing` and the command `trivet`. Node runs no TypeScript below
// node_modules, so it has JavaScript: the same files without their types, line by line, and declarations beside them.

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
}

const root = join(import.meta.dirname, '..', '..');
const folder = join(root, 'dist', 'package');
const target = process.argv[2] ?? join(root, 'dist');

/** A path of ours in a source: where a file is imported, or started as a thread. */
const ourPath = /(['"])((?:\.{1,2}|#shared|#services)\/[^'"\n]*)\.ts\1/g;
/** The name of a package, and whatever of it: not of Node itself, whose names have a colon. */
const importedPackage = /\b(?:from|import)\s*\(?\s*(['"])((?:@[\w.-]+\/)?\w[\w.-]*)(?:\/[\w./-]+)?\1/g;

/** What of the manifest is for the repository alone. */
const ownOnly = new Set(['private', 'scripts', 'devDependencies', 'allowScripts', 'overrides']);

rmSync(folder, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
run(join(root, 'node_modules', '.bin', 'tsc'), ['--project', join(import.meta.dirname, 'tsconfig.json')]);
const packages = new Set<string>();
for (const declarations of globSync('**/*.d.ts', { cwd: folder })) {
  const source = `${declarations.slice(0, -'.d.ts'.length)}.ts`;
  write(declarations, readFileSync(join(folder, declarations), 'utf8'));
  write(
    `${source.slice(0, -'.ts'.length)}.js`,
    stripTypeScriptTypes(readFileSync(join(root, source), 'utf8')),
  );
}
writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);
cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
cpSync(join(import.meta.dirname, 'README.md'), join(folder, 'README.md'));
run('npm', ['pack', '--loglevel=error', '--pack-destination', target], folder);

function write(path: string, text: string): void {
  const written = text.replaceAll(ourPath, '$1$2.js$1');
  for (const [, , name = ''] of written.matchAll(importedPackage)) packages.add(name);
  mkdirSync(join(folder, dirname(path)), { recursive: true });
  writeFileSync(join(folder, path), written);
}

/** That of the repository, with what the files of the package need, and nothing that is for the repository alone. */
function manifest(): object {
  const whole = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
  const dependencies = [...packages].toSorted().map((name) => {
    const version = whole.dependencies[name];
    if (version === undefined) throw new Error(`${name} is imported, and is no dependency`);
    // A range, so that a program that has the same library shares it.
    return [name, `^${version}`] as const;
  });
  const exported = Object.entries(whole.exports).map(([name, path]) => {
    const file = path.slice(0, -'.ts'.length);
    return [name, { types: `${file}.d.ts`, default: `${file}.js` }] as const;
  });
  const kept = Object.entries(whole).filter(([name]) => !ownOnly.has(name));
  return {
    ...Object.fromEntries(kept),
    imports: { '#shared/*': './shared/*', '#services/*': './services/*' },
    exports: Object.fromEntries(exported),
    bin: { trivet: './services/cli/main.js' },
    dependencies: Object.fromEntries(dependencies),
  };
}

function run(command: string, args: readonly string[], cwd = root): void {
  const { status, error } = spawnSync(command, args, { cwd, stdio: 'inherit' });
  if (status !== 0) throw error ?? new Error(`${command} ended with ${String(status)}`);
}
