import { createHash, randomBytes } from 'node:crypto';
import fastifyCookie from '@fastify/cookie';
import fastifyCsrf from '@fastify/csrf-protection';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { EncryptJWT, jwtDecrypt } from 'jose';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Authenticate, type Authentication, bearerToken } from './authentication.ts';

/** How a request said who it is from. */
export interface Identified {
  readonly authentication: Authentication;
  readonly via: 'bearer' | 'cookie' | 'nothing';
}

export interface SessionsOptions {
  readonly authenticate: Authenticate;
  readonly clock: Clock;
  /** Shared by gateways that take each other's cookies; undefined: made up, and gone with this process. */
  readonly secret: string | undefined;
  readonly isTls: boolean;
}

const noCookies: Readonly<Record<string, string | undefined>> = Object.freeze({});

const noBearerToken: Identified = {
  authentication: { kind: 'nobody', why: 'no bearer token' },
  via: 'bearer',
};
const noCredentials: Identified = {
  authentication: { kind: 'nobody', why: 'no credentials' },
  via: 'nothing',
};

/** A session ends after this long, whatever its token allows. Milliseconds. */
const sessionMsMax = 12 * 3_600_000;
/** Browsers keep no longer cookies. */
const cookieLengthMax = 3_900;

/**
 * Sessions of browsers: a cookie that holds the token, encrypted. Nothing is kept here, and each request is judged by
 * the token itself, so a session ends with its token at any gateway.
 */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #key: Uint8Array;
  readonly #cookie: string;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#key = createHash('sha256')
      .update(options.secret ?? randomBytes(32))
      .update('trivet session')
      .digest();
    // With the prefix a browser takes the cookie from this host alone, over TLS alone; without TLS it would refuse it.
    this.#cookie = options.isTls ? '__Host-trivet' : 'trivet';
  }

  /** Cookies, and tokens against forged requests; before any hook that looks at a session. */
  async register(app: FastifyInstance): Promise<void> {
    await app.register(fastifyCookie, { hook: false });
    // Read here and not by the plugin, which would do so for every request: most have none.
    app.addHook('onRequest', (request, _reply, done) => {
      const { cookie } = request.headers;
      request.cookies = cookie === undefined ? noCookies : app.parseCookie(cookie);
      done();
    });
    await app.register(fastifyCsrf, {
      cookieKey: `${this.#cookie}-csrf`,
      cookieOpts: this.#cookieOptions(),
      csrfOpts: { hmacKey: Buffer.from(this.#key).toString('base64') },
      // A token is good for the session that it was made for.
      getUserInfo: (request) => this.#binding(request),
      getToken: csrfTokenOf,
    });
  }

  /**
   * Who sent the request. A header wins over a cookie: who shows a token means that one. Known at once where nobody has
   * to be asked, as it is for API keys.
   */
  identify(request: FastifyRequest): Identified | Promise<Identified> {
    const { authorization, cookie } = request.headers;
    if (authorization === undefined) return cookie === undefined ? noCredentials : this.#byCookie(request);
    const token = bearerToken(authorization);
    if (token === undefined) return noBearerToken;
    const authentication = this.#options.authenticate(token, request.ip);
    return authentication instanceof Promise
      ? authentication.then((proved) => ({ authentication: proved, via: 'bearer' }))
      : { authentication, via: 'bearer' };
  }

  async #byCookie(request: FastifyRequest): Promise<Identified> {
    const sealed = request.cookies[this.#cookie];
    if (sealed === undefined) return noCredentials;
    const token = await this.#open(sealed);
    if (token === undefined)
      return { authentication: { kind: 'nobody', why: 'the session has ended' }, via: 'cookie' };
    return { authentication: await this.#options.authenticate(token, request.ip), via: 'cookie' };
  }

  /**
   * Begins a session with a token that was checked.
   * @returns false when the token is too long for a cookie
   */
  async begin(reply: FastifyReply, token: string, untilMs: number | undefined): Promise<boolean> {
    const nowMs = this.#options.clock.nowMs();
    const endsMs = Math.min(untilMs ?? Infinity, nowMs + sessionMsMax);
    const sealed = await new EncryptJWT({ token })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setIssuedAt(Math.floor(nowMs / 1_000))
      .setExpirationTime(Math.floor(endsMs / 1_000))
      .encrypt(this.#key);
    if (sealed.length > cookieLengthMax) return false;
    reply.setCookie(this.#cookie, sealed, {
      ...this.#cookieOptions(),
      maxAge: Math.floor((endsMs - nowMs) / 1_000),
    });
    return true;
  }

  end(reply: FastifyReply): void {
    reply.clearCookie(this.#cookie, this.#cookieOptions());
    reply.clearCookie(`${this.#cookie}-csrf`, this.#cookieOptions());
  }

  /** The token that goes into `x-csrf-token` of what this session changes. */
  csrfToken(request: FastifyRequest, reply: FastifyReply): string {
    return reply.generateCsrf({ ...this.#cookieOptions(), userInfo: this.#binding(request) });
  }

  #cookieOptions() {
    return { path: '/', httpOnly: true, sameSite: 'strict', secure: this.#options.isTls } as const;
  }

  #binding(request: FastifyRequest): string {
    return createHash('sha256')
      .update(request.cookies[this.#cookie] ?? '')
      .digest('base64url');
  }

  async #open(sealed: string): Promise<string | undefined> {
    try {
      const { payload } = await jwtDecrypt<{ token?: unknown }>(sealed, this.#key, {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
        requiredClaims: ['exp'],
        currentDate: new Date(this.#options.clock.nowMs()),
      });
      return typeof payload.token === 'string' ? payload.token : undefined;
    } catch {
      // Made up, of another gateway's key, or over.
      return undefined;
    }
  }
}

function csrfTokenOf(request: FastifyRequest): string {
  const header = request.headers['x-csrf-token'];
  if (typeof header === 'string') return header;
  const field = (request.body as Readonly<Record<string, unknown>> | null | undefined)?.['_csrf'];
  return typeof field === 'string' ? field : '';
}

const safeMethods: readonly string[] = ['GET', 'HEAD', 'OPTIONS'];

/** A request with a cookie that changes something must show that our own page has made it. */
export const needsCsrfToken = (request: FastifyRequest, via: Identified['via']): boolean =>
  via === 'cookie' && !safeMethods.includes(request.method);

/** Answers by itself, and returns false, where the token against forged requests is missing or wrong. */
export function hasCsrfToken(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): boolean {
  let passed = false;
  app.csrfProtection(request, reply, () => {
    passed = true;
  });
  return passed;
}
