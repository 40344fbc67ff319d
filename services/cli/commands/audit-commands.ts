import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { AuditHead } from '#shared/protocol/audit-schemas.ts';
import { ChainCheck } from '#shared/runtime/audit-chain.ts';
import { exitCodes } from '#shared/runtime/exit-codes.ts';
import { type AskGateway, gatewayOf } from './gateway-session.ts';
import { given, print } from './session.ts';

interface ListOptions {
  readonly who?: string;
  readonly operation?: string;
  readonly result?: string;
  readonly limit?: string;
  readonly cursor?: string;
}

interface VerifyOptions {
  readonly key?: string[];
  readonly head?: string[];
}

/** `trivet audit list | verify`. */
export function auditCommands(program: Command): void {
  const audit = program.command('audit').description('who did what');
  audit
    .command('list')
    .description('entries, newest first')
    .option('--who <name>', 'of this principal, by name or id')
    .option('--operation <operation>', 'such as queue.purge')
    .option('--result <result>', 'ok, or the code of a refusal')
    .option('--limit <number>')
    .option('--cursor <text>')
    .action(async (options: ListOptions, command: Command) => {
      const ask = await gatewayOf(command);
      const query = new URLSearchParams(given({ ...options }) as Record<string, string>);
      print(await ask('GET', `/v1/audit?${query.toString()}`));
    });
  audit
    .command('verify')
    .description(
      'check the whole chain here, line by line: nothing removed, changed or cut off; exit code 1 if so',
    )
    .option(
      '--key <publicKey...>',
      'keys whose signatures count (U…); the gateway’s own word is not trusted then',
    )
    .option(
      '--head <file...>',
      'heads that you have kept elsewhere: audit-head.json of a process, or lines of its log',
    )
    .action(async (options: VerifyOptions, command: Command) => {
      const report = await verify(await gatewayOf(command), options);
      print(report);
      if (!report.whole) process.exitCode = exitCodes.failed;
    });
}

async function verify(ask: AskGateway, { key, head = [] }: VerifyOptions) {
  const answered = (await ask('GET', '/v1/audit/heads')) as { heads: readonly AuditHead[]; key: string };
  const kept = (await Promise.all(head.map(readHeads))).flat();
  const trusted = key ?? [answered.key];
  const check = new ChainCheck([...answered.heads, ...kept], trusted);
  let cursor: string | undefined = '1';
  while (cursor !== undefined) {
    const page = (await ask('GET', `/v1/audit/lines?cursor=${cursor}`)) as {
      lines: string[];
      cursor?: string;
    };
    for (const line of page.lines) check.read(line);
    ({ cursor } = page);
  }
  const { end, faults } = check.finish();
  return {
    whole: faults.length === 0,
    entries: end.n,
    head: end.hash,
    heads: answered.heads.length + kept.length,
    keys: trusted,
    ...(key === undefined
      ? { note: 'the key is the gateway’s own word: keep it elsewhere and give it with --key' }
      : {}),
    faults,
  };
}

/** Heads in a file: one alone, or in the lines of a log. */
async function readHeads(file: string): Promise<readonly AuditHead[]> {
  const text = await readFile(file, 'utf8');
  return text.split('\n').flatMap((line) => {
    if (!line.includes('"signature"')) return [];
    const parsed = JSON.parse(line) as AuditHead & { readonly auditHead?: AuditHead };
    return [parsed.auditHead ?? parsed];
  });
}
