import { TrivetError, refuse } from '#shared/protocol/errors.ts';
import { greetingMsMax } from '#shared/runtime/nats.ts';
import { withoutCredentials } from '#shared/runtime/nats-address.ts';

/**
 * Why there is no connection, with the address and the way out: `unauthorized` where a NATS refuses whoever comes,
 * `unavailable` where there is none. The library's own error is the `cause`.
 */
export function connectFailure(url: string, error: unknown): TrivetError {
  const reason = reasonOf(error);
  const at = withoutCredentials(url);
  const refusal =
    error instanceof Error && (error.name === 'AuthorizationError' || /authorization/i.test(reason))
      ? refuse(
          'unauthorized',
          `the NATS at ${at} refuses this client (${reason}): give a token that it knows`,
        )
      : refuse(
          'unavailable',
          `no NATS at ${at} (${reason}): is it running, and is this its address (NATS_URL)?`,
        );
  return new TrivetError(refusal.error, { cause: error });
}

/** What the library says of a greeting that is another one, of an end without any, and of none at all. */
function reasonOf(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  const isOther = /unexpected response from server|node provided an undefined error/.test(reason);
  if (isOther) return 'what answers there is no NATS';
  return reason === 'timeout' ? `no greeting within ${greetingMsMax / 1_000} s` : reason;
}
