import { exitCodes, StartRefused } from '#shared/runtime/exit-codes.ts';
import { withoutCredentials } from '#shared/runtime/nats-address.ts';
import { connectService } from '#shared/runtime/service-login.ts';

/**
 * Logs in to a NATS that somebody else runs, as the services will: what is refused here, each of them would be refused.
 * @throws StartRefused: 2 when these credentials do not do for services, 3 when there is no connection at all
 */
export async function checkLogin(login: {
  readonly url: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
}): Promise<void> {
  const nats = await connectService({ ...login, name: 'trivet-start' }).catch((error: unknown) => {
    if (error instanceof StartRefused) throw error;
    const reason = error instanceof Error ? (error.cause ?? error) : error;
    throw new StartRefused(
      exitCodes.missingPart,
      `There is no connection to the NATS at ${withoutCredentials(login.url)}: ` +
        (reason instanceof Error ? reason.message : String(reason)),
    );
  });
  await nats.connection.close();
}
