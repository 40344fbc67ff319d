import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastLine, runCommand } from '#services/cli/nats-server/run-command.ts';

// The first build on a machine fetches modules.
const buildMsMax = 180_000;

export interface GoProgram {
  readonly path: string;
  remove(): Promise<void>;
}

/** Builds the module in `folder`. */
export async function buildGoProgram(folder: string): Promise<GoProgram> {
  const output = await mkdtemp(join(tmpdir(), 'trivet-go-'));
  const path = join(output, 'program');
  const built = await runCommand('go', ['-C', folder, 'build', '-o', path, '.'], { timeoutMs: buildMsMax });
  if (built.exitCode !== 0) throw new Error(`${folder} cannot be built: ${lastLine(built.stderr)}`);
  return { path, remove: () => rm(output, { recursive: true, force: true }) };
}
