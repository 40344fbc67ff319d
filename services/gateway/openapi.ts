import fastifySwagger from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { type ErrorCode, errorTable } from '#shared/protocol/errors.ts';
import { Problem } from '#shared/protocol/http-schemas.ts';
import { keyLengthMax } from '#shared/protocol/limits.ts';
import { httpModels, models } from '#shared/protocol/models.ts';
import { Empty } from '#shared/protocol/queue-schemas.ts';
import type { AnswerDescription, Endpoint } from './endpoint.ts';
import { propertiesOf } from './schema-parts.ts';

/** Version of the wire protocol, which the document describes. */
const protocolVersion = '1.0.0';

/** Prepares the generation of the OpenAPI document. Before the routes: it listens to how they are added. */
export async function registerOpenApi(app: FastifyInstance): Promise<void> {
  await app.register(fastifySwagger, {
    convertConstToEnum: false,
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Trivet',
        version: protocolVersion,
        description: 'Cache, job queue and telemetry collector on NATS, over HTTP.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: ['cache', 'queue', 'telemetry', 'events', 'gateway'].map((name) => ({ name })),
      security: [{ bearer: [] }],
      components: {
        securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
        schemas: plainSchemas(),
      },
    },
    transformObject: (document) =>
      'openapiObject' in document
        ? withReferences(withMarkedBodies(document.openapiObject))
        : document.swaggerObject,
  });
}

// A copy without TypeBox's hidden marks: what is published is JSON Schema and nothing else.
const plainSchemas = (): Record<string, object> =>
  JSON.parse(JSON.stringify({ ...models, ...httpModels })) as Record<string, object>;

/** Marks an operation on its way through the generator, which takes every body for a required one. */
const optionalBody = 'x-optional-body';

/** Marks an operation that takes bodies of other kinds, which nothing validates here. */
const otherBodies = 'x-other-bodies';

interface MarkedOperation {
  readonly [optionalBody]?: boolean;
  readonly [otherBodies]?: readonly string[];
  readonly requestBody?: object;
}

function withMarkedBodies<Document extends { readonly paths?: object }>(document: Document): Document {
  const operation = ({
    [optionalBody]: optional,
    [otherBodies]: types,
    ...rest
  }: MarkedOperation): object => {
    if (optional === true) return { ...rest, requestBody: { ...rest.requestBody, required: false } };
    if (types === undefined) return rest;
    const content = types.map((type) => [
      type,
      { schema: type === 'application/json' ? { type: 'object' } : {} },
    ]);
    return { ...rest, requestBody: { required: true, content: Object.fromEntries(content) as object } };
  };
  const paths = Object.entries(document.paths ?? {}).map(([path, item]) => [
    path,
    Object.fromEntries(
      Object.entries(item as Record<string, MarkedOperation>).map(([method, one]) => [
        method,
        operation(one),
      ]),
    ),
  ]);
  return { ...document, paths: Object.fromEntries(paths) as Document['paths'] };
}

/** Wherever the document spells out what is a named component, it names the component instead. */
function withReferences<Document extends object>(document: Document): Document {
  const { components } = document as { readonly components?: { readonly schemas?: Record<string, object> } };
  const schemas = components?.schemas ?? {};
  const names = new Map(Object.entries(schemas).map(([name, schema]) => [spelledOut(schema), name]));
  const replaced = (node: unknown, isComponent = false): unknown => {
    if (typeof node !== 'object' || node === null) return node;
    if (Array.isArray(node)) return node.map((one) => replaced(one));
    const name = isComponent ? undefined : names.get(spelledOut(node));
    if (name !== undefined) return { $ref: `#/components/schemas/${name}` };
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, replaced(value)]));
  };
  const { components: _, ...rest } = document as Record<string, unknown>;
  return {
    ...(replaced(rest) as Document),
    components: {
      ...components,
      schemas: Object.fromEntries(
        Object.entries(schemas).map(([name, schema]) => [name, replaced(schema, true)]),
      ),
    },
  };
}

/** A schema to compare others with. Examples stand beside the schema of a body, and in that of a component. */
const spelledOut = (schema: object): string => JSON.stringify({ ...schema, examples: undefined });

/** What Fastify validates with, and what OpenAPI says: from one row. */
export function routeSchema(endpoint: Endpoint): FastifySchema {
  return {
    operationId: endpoint.operationId,
    summary: endpoint.summary,
    tags: [endpoint.tag],
    querystring: endpoint.query ?? Empty,
    response: responses(endpoint),
    ...(endpoint.path === undefined ? {} : { params: endpoint.path }),
    ...headerSchema(endpoint),
    ...(endpoint.body === undefined ? {} : { body: endpoint.body }),
    ...(endpoint.bodyOptional === true ? { [optionalBody]: true } : {}),
    ...(endpoint.takes === undefined ? {} : { [otherBodies]: ['application/json', ...endpoint.takes] }),
    ...(endpoint.access === 'public' ? { security: [] } : {}),
  };
}

const IdempotencyKey = Type.String({
  minLength: 1,
  maxLength: keyLengthMax,
  description: 'Repeating the request with the same key has no second effect.',
});

/** The headers that the endpoint reads. What else a request carries is not looked at. */
function headerSchema({ headers, idempotency }: Endpoint): { readonly headers?: TSchema } {
  const properties = {
    ...propertiesOf(headers),
    ...(idempotency === 'used' ? { 'idempotency-key': Type.Optional(IdempotencyKey) } : {}),
  };
  return Object.keys(properties).length === 0 ? {} : { headers: Type.Object(properties) };
}

function responses(endpoint: Endpoint): Record<string, object> {
  const answers = Object.entries(endpoint.answers).map(([status, answer]) => [status, responseOf(answer)]);
  const problems = Map.groupBy(refusalsOf(endpoint), (code) => errorTable[code].status);
  return {
    ...Object.fromEntries([...problems].map(([status, codes]) => [status, problem(codes.join(', '))])),
    ...(endpoint.body === undefined && endpoint.takes === undefined
      ? {}
      : { 415: problem('invalid_request: the body is not JSON') }),
    ...(propertiesOf(endpoint.headers)['if-match'] === undefined
      ? {}
      : { 412: problem('conflict: the condition does not hold') }),
    ...(Object.fromEntries(answers) as Record<string, object>),
  };
}

const problem = (about: string): object =>
  responseOf({ about, schema: Problem, contentType: 'application/problem+json' });

function refusalsOf(endpoint: Endpoint): readonly ErrorCode[] {
  const everywhere: ErrorCode[] = ['invalid_request', 'internal', 'unavailable'];
  const signedIn: ErrorCode[] =
    endpoint.access === 'public' ? [] : ['unauthorized', 'forbidden', 'rate_limited', 'timeout'];
  const withBody: ErrorCode[] =
    endpoint.body === undefined && endpoint.takes === undefined ? [] : ['payload_too_large'];
  return [...new Set([...everywhere, ...signedIn, ...withBody, ...(endpoint.refusals ?? [])])];
}

function responseOf({ about, schema, contentType = 'application/json' }: AnswerDescription): object {
  if (schema === undefined) return { description: about, type: 'null' };
  return { description: about, content: { [contentType]: { schema } } };
}
