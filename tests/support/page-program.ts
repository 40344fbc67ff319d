import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect } from 'vitest';

/** What a line of a page says that it prints: what stands behind `//` after a `console.log`. */
const promisedOutput = /console\.log\(.*\);? \/\/ (.*)$/gm;

/** Runs the pieces of code on a page as one program, and compares what it prints with what the page says. */
export async function expectPageToRun(path: string, natsUrl: string): Promise<void> {
  const page = readFileSync(path, 'utf8');
  const program = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map((block) => block[1]).join('\n');
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module-typescript', '--eval', program],
    { env: { ...process.env, NATS_URL: natsUrl, NODE_OPTIONS: '' }, timeout: 50_000 },
  );
  expect(stderr).toBe('');
  const promised = [...program.matchAll(promisedOutput)].map((match) => match[1] ?? '');
  expect(promised.length).toBeGreaterThan(6);
  const printed = stdout.trim().split('\n');
  // In any order, but as often as the page says: two lines that print `true` are not shown by one.
  const times = (lines: readonly string[], line: string) => lines.filter((one) => one === line).length;
  const missing = promised.filter((line) => times(printed, line) < times(promised, line));
  expect(missing).toEqual([]);
}
