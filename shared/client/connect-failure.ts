import { TrivetError, refuse } from '#shared/protocol/errors.ts';

/** An address of NATS as it may be shown. */
const withoutCredentials = (url: string): string => url.replaceAll(/\/\/[^@/,]*@/g, '//');

/**
 * Why there is no connection, with the address and the way out: `unauthorized` where a NATS refuses whoever comes,
 * `unavailable` where there is none. The library's own error is the `cause`.
 */
export function connectFailure(url: string, error: unknown): TrivetError {
  const reason = error instanceof Error ? error.message : String(error);
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
