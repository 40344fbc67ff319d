import { Compile } from 'typebox/compile';
import type { TSchema } from 'typebox';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { models } from '#shared/protocol/models.ts';
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

test('it has the endpoints of the protocol, and no others', () => {
  expect(operations().map(({ method, path }) => `${method} ${path}`)).toEqual([
    'post /cache/operation',
    'get /cache/stats',
    'post /queue/enqueue',
    'get /queue/{queue_name}/dequeue',
    'post /v1/queues/{queue_name}/dequeue',
    'post /queue/{queue_name}/{item_id}/complete',
    'post /queue/{queue_name}/{item_id}/fail',
    'get /queue/stats',
    'get /v1/queues/{queue_name}/items',
    'get /v1/queues/{queue_name}/items/{item_id}',
    'post /telemetry/record',
    'get /telemetry/stats',
    'get /health/live',
    'get /health/ready',
    'get /metrics',
    'get /openapi.json',
  ]);
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
      if (status.startsWith('2')) continue;
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
  const bodies = operations().filter(({ operation }) => operation.requestBody !== undefined);
  expect(bodies).toHaveLength(6);
  for (const { path, operation } of bodies)
    expect(operation.requestBody?.required, path).toBe(path !== '/v1/queues/{queue_name}/dequeue');
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
