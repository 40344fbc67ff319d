import { existsSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { exitCodes } from '#shared/runtime/exit-codes.ts';
import { runDemo } from './demo/run.ts';

// `npm run demo -- [FOLDER]`: the main job on real input, in a temporary folder and on free ports.

const [folder = 'node_modules', ...more] = process.argv.slice(2);
const input = resolve(folder);
if (more.length > 0 || !existsSync(input) || !statSync(input).isDirectory()) {
  process.stderr.write(
    `npm run demo -- [FOLDER]: ${more.length > 0 ? 'one folder at most' : `${input} is not a folder`}\n`,
  );
  process.exit(exitCodes.usage);
}
const scratch = await mkdtemp(join(tmpdir(), 'trivet-demo-'));
try {
  await runDemo(input, scratch);
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = exitCodes.failed;
} finally {
  await rm(scratch, { recursive: true, force: true });
}
process.exit();
