import { Compile } from 'typebox/compile';
import type { TSchema } from 'typebox';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cacheRequests } from '#shared/protocol/cache-schemas.ts';
import { models } from '#shared/protocol/models.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { telemetryQueries } from '#shared/protocol/telemetry-queries.ts';
import { type RunningGateway, startGateway } from './running-gateway.ts';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security?: readonly object[];
  readonly parameters?: readonly { name: string; in: string; required: boolean; schema: object }[];
  readonly requestBody?: { required: boolean; content: Record<string, { schema: object }> };
  readonly responses: Readonly<
    Record<string, { description: string; content?: Record<string, { schema: object }> }>
  >;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly security: readonly object[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, TSchema>>;
    readonly securitySchemes: object;
  };
}

let gateway: RunningGateway;
let document: Document;
beforeAll(async () => {
  gateway = await startGateway();
  document = (await gateway.call('GET', '/openapi.json')).body as unknown as Document;
});
afterAll(() => gateway.stop());

const operations = () =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  );

test('the document is OpenAPI 3.1, with a title and a version', () => {
  expect(document.openapi).toMatch(/^3\.1\.\d+$/);
  expect(document.info).toMatchObject({ title: 'Trivet', version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
  expect(document.components.securitySchemes).toEqual({ bearer: { type: 'http', scheme: 'bearer' } });
});

/** What is a resource and not an operation by name. */
const resources = [
  'post /cache/operation',
  'get /cache/stats',
  'get /v1/cache',
  'get /v1/cache/{namespace}',
  'patch /v1/cache/{namespace}',
  'delete /v1/cache/{namespace}',
  'get /v1/cache/{namespace}/keys',
  'get /v1/cache/{namespace}/entries/{key}',
  'put /v1/cache/{namespace}/entries/{key}',
  'delete /v1/cache/{namespace}/entries/{key}',
  'post /queue/enqueue',
  'get /queue/{queue_name}/dequeue',
  'post /queue/{queue_name}/{item_id}/complete',
  'post /queue/{queue_name}/{item_id}/fail',
  'get /queue/stats',
  'get /v1/queues',
  'get /v1/queues/{queue_name}',
  'patch /v1/queues/{queue_name}',
  'delete /v1/queues/{queue_name}',
  'get /v1/queues/{queue_name}/stats',
  'get /v1/queues/{queue_name}/workers',
  'get /v1/queues/{queue_name}/items',
  'get /v1/queues/{queue_name}/items/{item_id}',
  'patch /v1/queues/{queue_name}/items/{item_id}',
  'delete /v1/queues/{queue_name}/items/{item_id}',
  'get /v1/queues/{queue_name}/items/{item_id}/result',
  'get /v1/queues/{queue_name}/items/{item_id}/logs',
  'get /v1/queues/{queue_name}/items/{item_id}/children',
  'get /v1/queues/{queue_name}/schedules',
  'get /v1/queues/{queue_name}/schedules/{schedule}',
  'put /v1/queues/{queue_name}/schedules/{schedule}',
  'delete /v1/queues/{queue_name}/schedules/{schedule}',
  'post /telemetry/record',
  'get /telemetry/stats',
  'get /health/live',
  'get /health/ready',
  'get /metrics',
  'get /openapi.json',
];

test('it has the nine endpoints, every operation of the protocol by its name, and the resources', () => {
  const operationsOf = (prefix: string, words: readonly string[]) => words.map((word) => `${prefix}${word}`);
  const { prometheus: _, ...queries } = telemetryQueries;
  const expected = [
    ...resources,
    ...operationsOf('post /v1/queues/{queue_name}/', ['enqueue', ...Object.keys(queueRequests)]),
    ...operationsOf('post /v1/cache/{namespace}/', Object.keys(cacheRequests)),
    ...operationsOf('get /v1/telemetry/', Object.keys(queries)),
  ];
  const found = operations().map(({ method, path }) => `${method} ${path}`);
  expect(expected.filter((one) => !found.includes(one))).toEqual([]);
  expect(new Set(found).size).toBe(found.length);
});

test('every operation has an id of its own, a summary and a tag', () => {
  const ids = operations().map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { operation } of operations()) {
    expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/);
    expect(operation.summary).not.toBe('');
    expect(operation.tags).toHaveLength(1);
  }
});

test('every operation says how it answers well, and every error is a problem', () => {
  for (const { path, operation } of operations()) {
    const statuses = Object.keys(operation.responses);
    expect(
      statuses.some((status) => status.startsWith('2')),
      path,
    ).toBe(true);
    expect(statuses, path).toEqual(expect.arrayContaining(['400', '500']));
    for (const [status, response] of Object.entries(operation.responses)) {
      expect(response.description).not.toBe('');
      if (status.startsWith('2') || status === '304') continue;
      expect(response.content, `${path} ${status}`).toEqual({
        'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
      });
    }
  }
});

test('every operation but health needs the token, and can answer 401 and 403', () => {
  expect(document.security).toEqual([{ bearer: [] }]);
  for (const { path, operation } of operations()) {
    if (path.startsWith('/health/')) expect(operation.security).toEqual([]);
    else {
      expect(operation.security, path).toBeUndefined();
      expect(Object.keys(operation.responses), path).toEqual(expect.arrayContaining(['401', '403']));
    }
  }
});

test('every parameter of a path is described, and is required', () => {
  for (const { path, operation } of operations()) {
    const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
    const described = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
    expect(described.map(({ name }) => name)).toEqual(inPath);
    expect(described.every(({ required }) => required)).toBe(true);
  }
});

test('a body is required, but where all of it has defaults', () => {
  const required = (path: string, method = 'post') => document.paths[path]?.[method]?.requestBody?.required;
  expect(required('/queue/enqueue')).toBe(true);
  expect(required('/v1/queues/{queue_name}/complete')).toBe(true);
  expect(required('/v1/cache/{namespace}/entries/{key}', 'put')).toBe(true);
  expect(required('/v1/queues/{queue_name}/dequeue')).toBe(false);
  expect(required('/v1/queues/{queue_name}/pause')).toBe(false);
  expect(required('/v1/cache/{namespace}/clear')).toBe(false);
});

test('the headers that an endpoint reads are described', () => {
  const headersOf = (path: string, method: string) =>
    (document.paths[path]?.[method]?.parameters ?? [])
      .filter((parameter) => parameter.in === 'header')
      .map(({ name }) => name);
  expect(headersOf('/queue/enqueue', 'post')).toEqual(['idempotency-key']);
  expect(headersOf('/v1/queues/{queue_name}/items/{item_id}', 'get')).toEqual(['if-none-match']);
  expect(headersOf('/v1/cache/{namespace}/entries/{key}', 'put')).toEqual(['if-match', 'if-none-match']);
});

test.each(Object.keys(models))('%s is a component, and a JSON schema that compiles', (name) => {
  const schema = document.components.schemas[name];
  expect(schema).toBeDefined();
  expect(() => Compile(document.components.schemas, schema as TSchema)).not.toThrow();
});

test('the nine endpoints name the models instead of spelling them out', () => {
  const schemaOf = (path: string, method: string) =>
    document.paths[path]?.[method]?.requestBody?.content['application/json']?.schema;
  const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` });
  expect(schemaOf('/cache/operation', 'post')).toEqual(reference('CacheRequest'));
  expect(schemaOf('/queue/enqueue', 'post')).toEqual(reference('QueueRequest'));
  expect(schemaOf('/telemetry/record', 'post')).toMatchObject({
    anyOf: [reference('TelemetryRequest'), { type: 'array' }],
  });
  const answers = document.paths['/queue/enqueue']?.['post']?.responses['201'];
  expect(answers?.content?.['application/json']?.schema).toEqual(reference('QueueResponse'));
  expect(document.components.schemas['QueueItem']).toMatchObject({
    properties: { state: reference('QueueStatus'), priority: reference('QueuePriority') },
  });
});

test('every reference leads somewhere', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1]);
  expect(references.length).toBeGreaterThan(50);
  const known = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
  for (const reference of new Set(references)) expect(known).toContain(reference);
});

test('the document is plain JSON Schema: no marks of the library that it is made with', () => {
  expect(JSON.stringify(document)).not.toMatch(/"~|"\$id"|"x-optional-body"/);
});
