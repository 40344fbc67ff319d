import { StartRefused, exitCodes } from './exit-codes.ts';
import type { Log } from './log.ts';
import {
  type Nats,
  type NatsOptions,
  AuthorizationError,
  JetStreamApiError,
  PermissionViolationError,
  connectNats,
  serviceInboxPrefix,
  withLog,
} from './nats.ts';
import { loginOf, withoutCredentials } from './nats-address.ts';

// How a process of ours logs in to NATS. That it is refused is a setting of somebody, not a fault of the program: it is
// said in one sentence that names the variables, and the process ends, since no repetition would help.

/** `jetstream not enabled for account`: streams are somewhere else than this user. */
const noJetStreamInAccount = 10_039;

/**
 * Connects as one of the services.
 * @throws StartRefused (2) when NATS refuses these credentials, or takes them for a user that services cannot run as
 */
export async function connectService(
  options: Omit<NatsOptions, 'inboxPrefix' | 'log'> & { readonly log?: Log },
): Promise<Nats> {
  const { log, ...login } = options;
  const variables = 'TRIVET_NATS_USER and TRIVET_NATS_PASSWORD';
  // It logs once it is let in: each refusal would be a line of the log, before the sentence that says it all.
  const nats = await connectAs({ ...login, inboxPrefix: serviceInboxPrefix }, variables);
  try {
    // Nothing is done without JetStream and an inbox that is the services' own; this asks for both.
    await nats.manager();
  } catch (error) {
    const reason = forbidden(error);
    // JetStream may also be late, which is waited for elsewhere.
    if (reason !== undefined) {
      await nats.connection.close();
      throw new StartRefused(
        exitCodes.usage,
        `the NATS at ${withoutCredentials(login.url)} lets ${loginOf(login).user ?? 'this'} in as a user that may not run ` +
          `services (${reason}): set ${variables} (nats.conf)`,
      );
    }
  }
  return log === undefined ? nats : withLog(nats, log);
}

/**
 * Connects as the user of `options`.
 * @param variables what sets that user, for the refusal
 * @throws StartRefused (2) when NATS refuses this user
 */
export async function connectAs(options: NatsOptions, variables: string): Promise<Nats> {
  try {
    return await connectNats(options);
  } catch (error) {
    // The other one of this name is a login that took too long, which may go well the next time.
    if (!(error instanceof AuthorizationError) || !/violation/i.test(error.message))
      throw new Error(`the NATS at ${withoutCredentials(options.url)} (NATS_URL) cannot be reached`, {
        cause: error,
      });
    const { user } = loginOf(options);
    const who = user === undefined ? 'whoever has no user' : `the user ${user}`;
    throw new StartRefused(
      exitCodes.usage,
      `the NATS at ${withoutCredentials(options.url)} refuses ${who} (${error.message}): set ${variables}`,
    );
  }
}

/** What is forbidden for good, in the words of nats-server; undefined for every other failure. */
function forbidden(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const isForbidden =
    error instanceof PermissionViolationError ||
    (error instanceof JetStreamApiError && error.code === noJetStreamInAccount);
  return isForbidden ? error.message : forbidden(error.cause);
}
