import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods, RouteOptions } from 'fastify';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { keyLengthMax } from '#shared/protocol/limits.ts';
import type { Access } from './access.ts';
import { type Answer, type Call, type Endpoint } from './endpoint.ts';
import { packedFromBytes } from './guard-rails.ts';
import { routeSchema } from './openapi.ts';
import { sendProblem } from './problems.ts';
import { provedMsMax } from './proved.ts';
import { Refused } from './refused.ts';
import { propertiesOf } from './schema-parts.ts';
import type { Sessions } from './sessions.ts';

type AnyCall = Call<never, never, never>;

export interface MountOptions {
  readonly access: Access;
  readonly sessions: Sessions;
  /** Whether the gateway is on its way out, so that nobody starts to wait. */
  readonly isDraining: () => boolean;
}

/** Adds one route for each endpoint: decode and validate (Fastify, with our validators) → authorize → ask → answer. */
export function mountEndpoints(
  app: FastifyInstance,
  endpoints: readonly Endpoint[],
  options: MountOptions,
): void {
  for (const endpoint of endpoints) {
    for (const method of methodsOf(endpoint)) app.route({ method, ...routeOf(endpoint, method, options) });
  }
  refuseOtherMethods(app, endpoints);
}

/** What asks for a health asks for its headers alone, often; any other `GET` may have an effect, such as a lease. */
const methodsOf = ({ method, access }: Endpoint): readonly HTTPMethods[] =>
  method === 'GET' && access === 'public' ? ['GET', 'HEAD'] : [method];

const routeOf = (
  endpoint: Endpoint,
  method: HTTPMethods,
  options: MountOptions,
): Omit<RouteOptions, 'method'> => ({
  url: endpoint.url,
  schema: method === 'HEAD' ? { hide: true } : routeSchema(endpoint),
  ...(endpoint.bodyBytesMax === undefined ? {} : { bodyLimit: endpoint.bodyBytesMax }),
  config: {
    isPublic: endpoint.access === 'public',
    isBearerOnly: endpoint.bearerOnly === true,
    packsItself: true,
    ...(endpoint.takes === undefined ? {} : { takes: endpoint.takes }),
  },
  ...(endpoint.bodyOptional === true ? { preValidation: emptyBody } : {}),
  // Nothing is returned: Fastify would wait for a reply that sends itself.
  handler: (request, reply) => {
    handle(endpoint, request, reply, options).catch((fault: unknown) => fail(fault, reply));
  },
});

const emptyBody = (request: FastifyRequest, _reply: FastifyReply, done: () => void): void => {
  if (request.body === undefined) request.body = {};
  done();
};

/** What was thrown on the way is answered by the error handler, as anything else is. */
function fail(fault: unknown, reply: FastifyReply): void {
  if (!reply.sent) reply.send(fault instanceof Error ? fault : new Error('not an error', { cause: fault }));
}

async function handle(
  endpoint: Endpoint,
  request: FastifyRequest,
  reply: FastifyReply,
  { access, sessions, isDraining }: MountOptions,
): Promise<void> {
  const isGone = () => request.raw.socket.destroyed;
  const key = idempotencyKeyOf(endpoint, request);
  if (!key.ok) {
    sendProblem(request, reply, key.error);
    return;
  }
  const call = {
    path: request.params,
    query: request.query,
    body: request.body,
    bytes: request.bytes ?? noBytes,
    headers: request.headers,
    idempotencyKey: key.value,
    principal: request.principal,
    csrfToken: () => (request.via === 'cookie' ? sessions.csrfToken(request, reply) : undefined),
    traceHeaders: request.observation.traceHeaders,
    givenUp: () => isDraining() || isGone(),
    isStillKnown: async () => (await sessions.identify(request)).authentication.kind !== 'nobody',
  } as unknown as AnyCall;
  const result = await attempt(access, endpoint, request, call);
  // Kept alive, the connection of a caller who was answered late would hold up the end.
  if (isDraining()) reply.header('Connection', 'close');
  if (!result.ok) {
    sendProblem(request, reply, result.error);
    return;
  }
  noticeLoss(result.value, reply, isGone);
  send(result.value, reply);
}

const noBytes = Buffer.alloc(0);

/** Conditions and keys that an endpoint cannot keep to are refused: to ignore them would be to break them. */
function idempotencyKeyOf(endpoint: Endpoint, { headers }: FastifyRequest): Result<string | undefined> {
  if (headers['if-match'] !== undefined && propertiesOf(endpoint.headers)['if-match'] === undefined)
    return refuseField('If-Match', 'has no meaning here');
  // "Only where there is none yet": to do it all the same would overwrite what is there. For `GET` it saves an answer.
  if (
    endpoint.method !== 'GET' &&
    headers['if-none-match'] !== undefined &&
    propertiesOf(endpoint.headers)['if-none-match'] === undefined
  )
    return refuseField('If-None-Match', 'has no meaning here');
  const given = headers['idempotency-key'];
  if (given === undefined) return accept(undefined);
  if (endpoint.idempotency === 'refused')
    return refuseField('Idempotency-Key', 'has no meaning here: repeating this request repeats its effect');
  // The draft standard puts it into quotes, most callers do not.
  const key = String(given).replace(/^"(.*)"$/, '$1');
  if (key.length > 0 && key.length <= keyLengthMax) return accept(key);
  return refuseField('Idempotency-Key', `must have 1 to ${keyLengthMax} characters`);
}

/** The decision itself is `authorize`'s; here its words are found in the request. */
function attempt(
  access: Access,
  endpoint: Endpoint,
  request: FastifyRequest,
  call: AnyCall,
): Promise<Result<Answer>> {
  const act = () => endpoint.handle(call);
  if (endpoint.access === 'public') return act();
  const { principal } = request;
  if (principal === undefined) return Promise.resolve(refuse('unauthorized', 'a bearer token is needed'));
  const { operation, resource } = endpoint.access;
  return access.run(request, {
    principal,
    operation: typeof operation === 'function' ? operation(call) : operation,
    resource: resource(call),
    needsBearer: request.via === 'cookie' && endpoint.bearerOnlyFor?.(call.body) === true,
    ...(request.observation.ageMs() < provedMsMax ? {} : { isStillKnown: call.isStillKnown }),
    act,
  });
}

/** Tells the endpoint when its answer did not reach the caller, as far as this side of the network can know. */
function noticeLoss(answer: Answer, reply: FastifyReply, isGone: () => boolean): void {
  const { undelivered } = answer;
  if (undelivered === undefined) return;
  if (isGone()) {
    undelivered();
    return;
  }
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) undelivered();
  });
}

function send(answer: Answer, reply: FastifyReply): void {
  const { status, headers, contentType, json, body, stream } = answer;
  if (headers !== undefined) reply.headers(headers);
  if (stream !== undefined) {
    reply.hijack();
    stream(reply.raw, reply.getHeaders() as OutgoingHttpHeaders);
    return;
  }
  reply.code(status);
  if (status === 204 || status === 304) reply.send();
  else if (contentType !== undefined) sendPacked(String(body), reply.type(contentType));
  else sendPacked(json ?? JSON.stringify(body), reply.type('application/json; charset=utf-8'));
}

/** Packed for whoever takes it so, where there is something to pack: most answers are a line. */
function sendPacked(payload: string | Uint8Array, reply: FastifyReply): void {
  const bytes = typeof payload === 'string' ? payload : asBuffer(payload);
  // No character has more than three bytes.
  const isWorthIt =
    reply.request.headers['accept-encoding'] !== undefined && 3 * bytes.length >= packedFromBytes;
  if (isWorthIt) reply.compress(bytes);
  else reply.send(bytes);
}

/** The same bytes, not a copy. */
const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

const knownMethods: readonly HTTPMethods[] = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'QUERY',
];

/** A known path with another method is 405 with `Allow`, and not an unknown path. */
function refuseOtherMethods(app: FastifyInstance, endpoints: readonly Endpoint[]): void {
  for (const [url, group] of Map.groupBy(endpoints, (endpoint) => endpoint.url)) {
    const allowed: readonly string[] = group.flatMap(methodsOf);
    app.route({
      method: knownMethods.filter((method) => !allowed.includes(method)),
      url,
      schema: { hide: true },
      // Before the body is read: nothing in it could change the answer.
      onRequest: (request, reply, done) => {
        reply.header('Allow', allowed.join(', '));
        done(new Refused({ code: 'invalid_request', message: `${request.method} is not allowed here` }, 405));
      },
      handler: (_request, reply) => reply,
    });
  }
}
