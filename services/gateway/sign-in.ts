import fastifyFormBody from '@fastify/formbody';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticate } from './authentication.ts';
import type { Audit } from './audited.ts';
import { nobody } from './core/principal.ts';
import type { CountRequest } from './guard-rails.ts';
import type { HeaderValues } from './security-headers.ts';
import { type Sessions, hasCsrfToken } from './sessions.ts';

export interface SignInOptions {
  readonly sessions: Sessions;
  readonly authenticate: Authenticate;
  readonly audit: Audit;
  readonly pageHeaders: HeaderValues;
  /** Counts an attempt that proved nobody, by its address. */
  readonly countRefused: CountRequest | undefined;
}

/** A token and the fields around it; the largest JWT that fits a cookie is shorter. */
const formBytesMax = 16_384;
/** Where one goes from here when the page that sent one here did not say: a path of our own, never another host. */
const start = '/docs';
const ownPath = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,500}$/;

interface SignInForm {
  readonly token?: unknown;
  readonly next?: unknown;
}

/** The sign-in page: the one page that a stranger sees. */
export function registerSignIn(app: FastifyInstance, options: SignInOptions): void {
  const { sessions, pageHeaders } = options;
  void app.register(async (scope) => {
    await scope.register(fastifyFormBody, { bodyLimit: formBytesMax });
    const config = { isPublic: true };
    const schema = { hide: true };
    scope.get('/sign-in', { config, schema }, (request, reply) => {
      const next = (request.query as { next?: unknown }).next;
      reply.headers(pageHeaders);
      return sendPage(reply, { csrf: sessions.csrfToken(request, reply), next: nextOf(next), status: 200 });
    });
    scope.get('/sign-in/style.css', { config, schema }, (_request, reply) =>
      reply.headers(pageHeaders).type('text/css; charset=utf-8').send(style),
    );
    scope.post('/sign-in', { config, schema }, (request, reply) => signIn(scope, request, reply, options));
    scope.post('/sign-out', { config, schema }, (request, reply) => {
      if (!hasCsrfToken(app, request, reply)) return reply;
      sessions.end(reply);
      return reply.redirect('/sign-in', 303);
    });
  });
}

async function signIn(
  app: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
  { sessions, authenticate, audit, pageHeaders, countRefused }: SignInOptions,
): Promise<FastifyReply> {
  if (!hasCsrfToken(app, request, reply)) return reply;
  const form = (request.body ?? {}) as SignInForm;
  const token = typeof form.token === 'string' ? form.token.trim() : '';
  const next = nextOf(form.next);
  const proved = await authenticate(token, request.ip);
  const note = {
    via: 'http',
    from: addressOf(request),
    operation: 'session.sign-in',
    on: 'the gateway',
  } as const;
  const again = (status: number, fault: string) => {
    reply.headers(pageHeaders);
    return sendPage(reply, { csrf: sessions.csrfToken(request, reply), next, status, fault });
  };
  if (proved.kind !== 'somebody') {
    audit.refused({ ...note, who: nobody.name, id: nobody.id, result: 'unauthorized', why: proved.why });
    await countRefused?.(request, reply);
    return again(proved.kind === 'nobody' ? 401 : 503, 'This token is not valid.');
  }
  const { name, id } = proved.principal;
  if (!(await sessions.begin(reply, token, proved.untilMs)))
    return again(400, 'This token is too long for a browser: use an API key.');
  await audit.note({ ...note, who: name, id, result: 'ok' });
  return reply.redirect(next, 303);
}

export const addressOf = (request: FastifyRequest): string =>
  `${request.ip}:${request.socket.remotePort ?? 0}`;

const nextOf = (given: unknown): string => (typeof given === 'string' && ownPath.test(given) ? given : start);

interface Page {
  readonly csrf: string;
  readonly next: string;
  readonly status: number;
  readonly fault?: string;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

const sendPage = (reply: FastifyReply, page: Page): FastifyReply =>
  reply.code(page.status).type('text/html; charset=utf-8').send(html(page));

const html = ({ csrf, next, fault }: Page): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Trivet</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/sign-in/style.css">
</head>
<body>
<main>
<h1>Trivet</h1>
<form method="post" action="/sign-in">
<input type="hidden" name="_csrf" value="${escaped(csrf)}">
<input type="hidden" name="next" value="${escaped(next)}">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus${fault === undefined ? '' : ' aria-invalid="true" aria-describedby="fault"'}>
${fault === undefined ? '' : `<p id="fault" role="alert">${escaped(fault)}</p>\n`}<button type="submit">Sign in</button>
</form>
<p>An API key, a JWT, or on the machine that runs Trivet the content of <code>.trivet/token</code>.</p>
</main>
</body>
</html>
`;

const style = `:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
main { width: min(24rem, 90vw); }
form { display: grid; gap: 0.5rem; }
input, button { font: inherit; padding: 0.5rem 0.75rem; border: 1px solid #767676; border-radius: 0.375rem; }
button { background: #14532d; color: #fff; border-color: #14532d; cursor: pointer; }
[role="alert"] { margin: 0; color: #b91c1c; }
@media (prefers-color-scheme: dark) { [role="alert"] { color: #fca5a5; } }
`;
