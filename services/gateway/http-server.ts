import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifySchemaCompiler,
} from 'fastify';
import type { TSchema } from 'typebox';
import { decode, encodingOf, json, mediaTypeOf } from '#shared/protocol/encoding.ts';
import { accept } from '#shared/protocol/errors.ts';
import { isTooDeep, tooDeep } from '#shared/protocol/nesting.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Audit } from './audited.ts';
import { type CertificateFiles, readCertificate } from './certificate.ts';
import { type Principal, nobody } from './core/principal.ts';
import { readQuery } from './core/query-string.ts';
import { type GuardRails, registerGuardRails, requestLimits } from './guard-rails.ts';
import type { Observation } from './observation.ts';
import { answerBrokenRequest, errorHandler, sendProblem, wrongContentType } from './problems.ts';
import { Refused } from './refused.ts';
import { type HeaderValues, apiHeaders } from './security-headers.ts';
import { type Identified, type Sessions, hasCsrfToken, needsCsrfToken } from './sessions.ts';
import { addressOf } from './sign-in.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    isPublic?: boolean;
    /** Content types besides JSON whose bodies are handed over as they came. */
    takes?: readonly string[];
    /** A cookie is not enough here. */
    isBearerOnly?: boolean;
  }
  interface FastifyRequest {
    /** Of the route that was found. Fastify's own way to it makes an object each time. */
    routeConfig: FastifyRequest['routeOptions']['config'];
    principal: Principal | undefined;
    via: Identified['via'];
    observation: Observation;
    /** The body as it came, unpacked; undefined where there was none. */
    bytes: Uint8Array | undefined;
  }
}

export interface HttpServerOptions {
  readonly sessions: Sessions;
  readonly audit: Audit;
  readonly observe: (request: FastifyRequest) => Observation;
  readonly connectionsMax: number;
  /** A request that has not come in whole after this long is a slow client's, or an attacker's. Milliseconds. */
  readonly receiveMs: number;
  /** Largest payload, in bytes; a body may have as much and its envelope, unpacked. */
  readonly payloadBytesMax: number;
  readonly guardRails: GuardRails;
  /** Proxies whose `X-Forwarded-For` says who asks. */
  readonly trustProxy: string | undefined;
  /** HTTPS with this certificate, or HTTP without one. */
  readonly certificate: CertificateFiles | undefined;
  readonly log: Log;
}

/** Counted where the caller hung up before the answer; no such status is ever sent. nginx's number for it. */
const callerGone = 499;
/** What a body may have beside its payload, in bytes: the envelope and its options. */
const envelopeBytesMax = 65_536;
/** How often the server looks for requests that come too slowly. Node's own 30 s would double the time-out. */
const slowLookMs = 1_000;
/** A silent connection is closed; beyond the longest dequeue, which is silent for a minute. */
const silentMsMax = 90_000;
const keepAliveMs = 65_000;

/** The HTTP server without its endpoints: what every request goes through before and after them. */
export async function createHttpServer(options: HttpServerOptions): Promise<FastifyInstance> {
  const onError = errorHandler(options.log);
  const headers = {
    ...apiHeaders(options.certificate !== undefined),
    // Whatever is answered belongs to whoever showed the token, and leased items to them alone.
    'cache-control': 'no-store',
  };
  const app = fastify({
    logger: false,
    genReqId: requestId,
    bodyLimit: options.payloadBytesMax + envelopeBytesMax,
    requestTimeout: options.receiveMs,
    connectionTimeout: silentMsMax,
    keepAliveTimeout: keepAliveMs,
    ...serverOptions(options),
    trustProxy: options.trustProxy ?? false,
    // A HEAD that ran the GET would lease items and throw them away.
    exposeHeadRoutes: false,
    // While it drains, a request on an open connection is answered, and the connection closed behind it.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    // A name that is too long is refused by its schema, in words, and not as an unknown path. The longest is a cache
    // key whose every byte is written as three.
    routerOptions: { maxParamLength: 4_096 },
    // A URL that cannot be decoded: no hook has run for it.
    frameworkErrors: (error, request, reply) => {
      onError(error, request, reply.headers(headers).header('x-request-id', request.id));
    },
    clientErrorHandler: answerBrokenRequest,
  });
  app.server.maxConnections = options.connectionsMax;
  app.decorateRequest('routeConfig');
  app.decorateRequest('principal');
  app.decorateRequest('via', 'nothing');
  app.decorateRequest('observation');
  app.decorateRequest('bytes');
  app.setValidatorCompiler(compileValidator);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setErrorHandler(onError);
  app.setNotFoundHandler((request, reply) =>
    sendProblem(request, reply, {
      code: 'not_found',
      message: `there is no ${request.method} ${pathOf(request)}`,
    }),
  );
  addBodyParser(app);
  addObservation(app, options, headers);
  await registerGuardRails(app, options.guardRails);
  await options.sessions.register(app);
  addIdentity(app, options);
  return app;
}

/** Where there is a certificate, the same server speaks HTTPS; Fastify's type for it differs in its server alone. */
function serverOptions({ certificate, receiveMs }: HttpServerOptions): object {
  const http = { headersTimeout: receiveMs, connectionsCheckingInterval: slowLookMs };
  return certificate === undefined ? { http } : { https: { ...http, ...readCertificate(certificate) } };
}

/** The server below, where it speaks HTTPS. */
export const httpsServer = (app: FastifyInstance): HttpsServer => app.server as unknown as HttpsServer;

function addObservation(
  app: FastifyInstance,
  { observe }: HttpServerOptions,
  headersOfAll: HeaderValues,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    request.routeConfig = request.routeOptions.config;
    request.observation = observe(request);
    reply.headers(headersOfAll).header('x-request-id', request.id);
    // `close` and not `finish`: it also comes when the caller hung up.
    reply.raw.on('close', () => {
      request.observation.end(reply.raw.writableFinished ? reply.statusCode : callerGone);
    });
    done();
  });
}

/** Who asks, and whether they have asked too often. */
function addIdentity(app: FastifyInstance, { sessions, audit, guardRails }: HttpServerOptions): void {
  const limits = requestLimits(app, guardRails);
  const goesOn = true;
  const isAnswered = false;

  async function admit(
    request: FastifyRequest,
    reply: FastifyReply,
    identified: Identified | Promise<Identified>,
  ): Promise<boolean> {
    const { authentication, via } = await identified;
    const { routeConfig } = request;
    const refuse = (code: 'unauthorized' | 'forbidden' | 'unavailable', message: string, why: string) => {
      const { name, id } = request.principal ?? nobody;
      audit.refused({
        who: name,
        id,
        via: 'http',
        from: addressOf(request),
        operation: `${request.method} ${routeConfig.url ?? 'an unknown path'}`,
        on: 'the gateway',
        result: code,
        why,
      });
      return new Refused({ code, message });
    };
    if (authentication.kind === 'somebody') {
      request.principal = authentication.principal;
      request.via = via;
      await limits.known?.(request, reply);
      if (via === 'cookie' && routeConfig.isBearerOnly === true)
        throw refuse('forbidden', 'a bearer token is needed here: a cookie is not enough', 'a cookie');
      if (!needsCsrfToken(request, via) || hasCsrfToken(app, request, reply)) return goesOn;
      refuse('forbidden', '', 'no valid token against forged requests');
      return isAnswered;
    }
    if (routeConfig.isPublic === true) return goesOn;
    await limits.refused?.(request, reply);
    if (authentication.kind === 'nobody' && isReaderOfPages(request)) {
      reply.redirect('/sign-in?next=/docs', 303);
      return isAnswered;
    }
    if (authentication.kind === 'unavailable')
      throw refuse('unavailable', authentication.why, authentication.why);
    throw refuse('unauthorized', 'a valid bearer token is needed', authentication.why);
  }

  // No promise where there is nothing to wait for: a request with a good key goes on in the same turn.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeConfig.isPublic === true && request.headers.authorization === undefined) {
      done();
      return;
    }
    const identified = sessions.identify(request);
    if (limits.known === undefined && isBearer(identified)) {
      request.principal = identified.authentication.principal;
      request.via = 'bearer';
      done();
      return;
    }
    void settle(admit(request, reply, identified), done);
  });
}

/** Goes on, or ends with what was thrown; a request that is answered already does neither. */
async function settle(admitted: Promise<boolean>, done: (fault?: Error) => void): Promise<void> {
  const isGoingOn = await admitted.catch((fault: unknown) => fault as Error);
  if (isGoingOn instanceof Error) done(isGoingOn);
  else if (isGoingOn) done();
}

type Bearer = Identified & { readonly authentication: { readonly kind: 'somebody' } };

/** True for somebody who is known already, and by a header: nothing can be wrong with such a request any more. */
const isBearer = (identified: Identified | Promise<Identified>): identified is Bearer =>
  !(identified instanceof Promise) &&
  identified.via === 'bearer' &&
  identified.authentication.kind === 'somebody';

/** Somebody who looks with a browser has no token to send yet, but a page to get in by. */
const isReaderOfPages = (request: FastifyRequest): boolean =>
  request.method === 'GET' &&
  request.headers.authorization === undefined &&
  ['/', '/docs', '/docs/'].includes(pathOf(request)) &&
  request.headers.accept?.includes('text/html') === true;

/** One parser for every content type, so that what is not JSON is refused in our words. */
function addBodyParser(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  // JSON by its name as well: what Fastify does not know by name it takes apart anew for each request.
  app.addContentTypeParser<Buffer>([json, '*'], { parseAs: 'buffer' }, (request, body, done) => {
    const contentType = request.headers['content-type'];
    request.bytes = withoutMark(body);
    if (request.routeConfig.takes?.includes(mediaTypeOf(contentType)) === true) {
      done(null, undefined);
      return;
    }
    if (encodingOf(contentType) !== json) {
      done(new Refused(wrongContentType, 415));
      return;
    }
    const decoded = decode(body, json);
    if (!decoded.ok) done(new Refused(decoded.error));
    // It could be read, but not be written again for NATS.
    else if (isTooDeep(decoded.value)) done(new Refused(tooDeep('body').error));
    else done(null, decoded.value);
  });
}

/** A byte order mark may stand before JSON, and nobody behind us expects it. */
const withoutMark = (body: Buffer): Buffer =>
  body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? body.subarray(3) : body;

/** Validation by the protocol's own validators: nothing is coerced, filled in or removed. */
const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  // Their meaning is judged where it is known (mount.ts); the schema is for whoever reads the document.
  if (httpPart === 'headers') return (value: unknown) => ({ value });
  const check = validator(schema);
  const read = (value: unknown) =>
    httpPart === 'querystring' ? readQuery(schema, value as Record<string, string>) : accept(value);
  return (value: unknown) => {
    const given = read(value);
    const checked = given.ok ? check(given.value) : given;
    return checked.ok ? { value: checked.value } : { error: new Refused(checked.error) };
  };
};

const requestIdExpression = /^[A-Za-z0-9._:-]{1,128}$/;

/** The caller's own `X-Request-Id`, where it is one that can stand in a log line. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && requestIdExpression.test(given) ? given : randomUUID();
}

const pathOf = (request: FastifyRequest): string => request.url.split('?', 1)[0] ?? '/';
