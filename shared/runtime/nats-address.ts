/** Who comes, as NATS asks for it. */
export interface Login {
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
}

/** What stands before the host. A password may hold an `@` of its own that nobody has escaped. */
const credentials = /\/\/([^/,]*)@/;

/** Addresses of NATS, separated by commas, as they may be shown. */
export const withoutCredentials = (urls: string): string =>
  urls.replaceAll(new RegExp(credentials, 'g'), '//');

/**
 * Who comes to `url`: what was said beside it, else what it says itself, `nats://user:password@host` or
 * `nats://token@host`, as nats.go and the `nats` command read it. Of several addresses the first that says something.
 */
export function loginOf({ url, user, password, token }: Login & { readonly url: string }): Login {
  const written = credentials.exec(url)?.[1];
  if (written === undefined || user !== undefined || token !== undefined) return { user, password, token };
  const [name = '', ...rest] = written.split(':');
  // A name with its password beside the address is no token.
  if (rest.length === 0 && password === undefined) return { token: unescaped(name) };
  return { user: unescaped(name), password: password ?? unescaped(rest.join(':')) };
}

/** A lone `%` is itself. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
