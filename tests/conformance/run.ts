import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { isPinned, tokenPrincipal } from '#shared/client/token-principal.ts';
import { privateInbox } from '#shared/protocol/credentials.ts';
import { sleep, systemClock } from '#shared/runtime/clock.ts';
import { exitCodes } from '#shared/runtime/exit-codes.ts';
import { conformanceCases, runCase } from './conformance-cases.ts';
import { type Target, targetOver } from './target.ts';

// `npm run conformance -- --nats URL [--token T] [--prefix P]`: the protocol checked from outside, against whatever
// answers there. One line a case on stdout; ends with 0 when all hold, with 1 when one does not, with 2 on bad usage.

const usage = 'usage: npm run conformance -- --nats URL [--token T] [--prefix P]';

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (options === undefined) return exitCodes.usage;
  const { nats, token, prefix } = options;
  const principalId = token === undefined ? undefined : tokenPrincipal(token);
  let connection: NatsConnection;
  try {
    connection = await connect({
      servers: nats,
      ...(token === undefined ? {} : { token }),
      ...(principalId === undefined ? {} : { inboxPrefix: privateInbox(principalId) }),
      timeout: 5_000,
    });
  } catch (error) {
    console.error(`no NATS answers at ${nats}: ${messageOf(error)}`);
    return exitCodes.failed;
  }
  try {
    const pinned = principalId !== undefined && (await isPinned({ connection }, principalId));
    const target = targetOver(connection, {
      prefix,
      principalId: pinned ? principalId : undefined,
      pass: (ms) => sleep(systemClock, ms),
    });
    await target.ask('conformance', 'stats').catch((error: unknown) => {
      throw new Error(`no broker answers at ${prefix}.queue.conformance.stats`, { cause: error });
    });
    return (await runAll(target)) === 0 ? exitCodes.done : exitCodes.failed;
  } catch (error) {
    console.error(messageOf(error));
    return exitCodes.failed;
  } finally {
    await connection.close();
  }
}

function readOptions(): { nats: string; token: string | undefined; prefix: string } | undefined {
  try {
    const text = { type: 'string' } as const;
    const { values } = parseArgs({ options: { nats: text, token: text, prefix: text } });
    const { nats, token, prefix = 'trivet' } = values;
    if (nats !== undefined) return { nats, token, prefix };
    console.error(usage);
  } catch (error) {
    console.error(`${messageOf(error)}\n${usage}`);
  }
  return undefined;
}

/** Runs the cases one after the other. Returns how many did not hold. */
async function runAll(target: Target): Promise<number> {
  // Whoever runs this twice, or beside others, meets no queue of theirs.
  const run = randomBytes(4).toString('hex');
  let failed = 0;
  for (const [number, one] of conformanceCases.entries()) {
    try {
      await runCase(target, one, `conformance-${run}-${number}`);
      console.log(`ok      ${one.name}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok  ${one.name}: ${messageOf(error)}`);
    }
  }
  console.log(`${conformanceCases.length - failed} of ${conformanceCases.length} cases hold`);
  return failed;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${error.message}${cause}`.replaceAll('\n', ' ');
}
