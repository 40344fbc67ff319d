import { type TSchema, Type } from 'typebox';
import {
  CacheStats,
  type CacheRequestName,
  ConfigureRequest,
  GetReply,
  KeysRequest,
  LoadReply,
  MissedReply,
  SetRequest,
  cacheRequests,
} from '#shared/protocol/cache-schemas.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { CacheKey, Name, Strict } from '#shared/protocol/fields.ts';
import { CacheStatsList } from '#shared/protocol/http-schemas.ts';
import { requestBytesMax } from '#shared/protocol/limits.ts';
import { ItemError } from '#shared/protocol/queue-reply-schemas.ts';
import { ask, valueOf, withMember } from './ask.ts';
import type { CacheEndpointsOptions } from './cache-endpoints.ts';
import { type Answer, type Endpoint, endpoint } from './endpoint.ts';
import { IfNoneMatch, isAmong, preconditionFailed, versionIn } from './entity-tag.ts';
import { proofEnded } from './proved.ts';
import { camelCase } from './queue-operation-endpoints.ts';
import { hasDefaultsOnly } from './schema-parts.ts';

// Namespaces and entries as things with addresses, and every operation of the protocol behind them:
// `POST /v1/cache/{namespace}/{operation}`, with the body that it has over NATS.

const NamespacePath = Strict({ namespace: Name });
const EntryPath = Strict({ namespace: Name, key: CacheKey });
const EntryBody = Type.Omit(SetRequest, ['key'], { additionalProperties: false });
const Conditions = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'Set only the entry of this version, such as "42"' })),
  'if-none-match': Type.Optional(Type.String({ description: '`*`: set only where there is no entry' })),
});

const IfMatch = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'Delete only the entry of this version' })),
});

const Version = Type.Object({ version: Type.Integer() });
const Deleted = Type.Object({ deleted: Type.Boolean() });
const Cleared = Type.Object({ cleared: Type.Integer() });
const Keys = Type.Object({ keys: Type.Array(Type.String()), cursor: Type.Optional(Type.String()) });

const many = (reply: { readonly properties: Record<string, TSchema> }) =>
  Type.Object({
    items: Type.Array(
      Type.Object({
        ...Type.Partial(Type.Object(reply.properties)).properties,
        error: Type.Optional(ItemError),
      }),
    ),
  });

/** Answers that have a schema of their own; another one is an object. */
const replies: Readonly<Partial<Record<CacheRequestName, TSchema>>> = {
  get: GetReply,
  set: Version,
  'get-many': many(GetReply),
  'set-many': many(Version),
  'delete-many': many(Deleted),
  delete: Deleted,
  exists: Type.Object({ exists: Type.Boolean() }),
  increment: Type.Object({ value: Type.Integer(), version: Type.Integer() }),
  touch: Type.Object({ touched: Type.Boolean() }),
  clear: Cleared,
  keys: Keys,
  load: LoadReply,
  missed: MissedReply,
  stats: CacheStats,
  configure: CacheStats,
};
const AnyObject = Type.Object({}, { additionalProperties: true });

/** A second `increment` adds again, and nothing in the cache could tell that it is the same one. */
const repeated: ReadonlySet<CacheRequestName> = new Set<CacheRequestName>(['increment']);

/** Beyond this a `load` is answered by the node itself: it waits for another caller's fill. */
const loadMsMax = 90_000;

export const cacheResourceEndpoints = (options: CacheEndpointsOptions): readonly Endpoint[] => [
  ...namespaceEndpoints(options),
  ...entryEndpoints(options),
  ...operationEndpoints(options),
];

const operationEndpoints = ({ nats, subjects }: CacheEndpointsOptions): readonly Endpoint[] =>
  (Object.keys(cacheRequests) as CacheRequestName[]).map((operation) => {
    const schema: TSchema = cacheRequests[operation];
    return endpoint({
      method: 'POST',
      url: `/v1/cache/:namespace/${operation}`,
      operationId: `cache${camelCase(operation)}Operation`,
      summary: `The operation ${operation} of the cache`,
      tag: 'cache',
      access: {
        operation: `cache.${operation}`,
        resource: ({ path }) => ({ kind: 'namespace', name: path.namespace }),
      },
      path: NamespacePath,
      body: schema,
      bodyOptional: hasDefaultsOnly(schema),
      ...(operation === 'set-many' ? { bodyBytesMax: requestBytesMax } : {}),
      idempotency: repeated.has(operation) ? 'refused' : 'needless',
      answers: { 200: { about: 'What the operation answers.', schema: replies[operation] ?? AnyObject } },
      refusals: ['conflict', 'not_found'],
      handle: async ({ path, bytes, traceHeaders, isStillKnown }) => {
        const answer = await ask(
          nats,
          subjects.cache(path.namespace, operation),
          bytes.length === 0 ? {} : bytes,
          { headers: traceHeaders, ...(operation === 'load' ? { timeoutMs: loadMsMax } : {}) },
        );
        // It may have waited long for another caller's value.
        if (operation === 'load' && !(await isStillKnown())) return { ok: false, error: proofEnded };
        return answer;
      },
    });
  });

const namespaceOf = (path: { readonly namespace: string }) =>
  ({ kind: 'namespace', name: path.namespace }) as const;

const namespaceEndpoints = ({ nats, subjects }: CacheEndpointsOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/v1/cache',
    operationId: 'listNamespaces',
    summary: 'Figures of the cache and of each namespace',
    tag: 'cache',
    access: { operation: 'cache.stats-all', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'The figures.', schema: CacheStatsList } },
    handle: ({ traceHeaders }) => ask(nats, subjects.cacheStats, {}, { headers: traceHeaders }),
  }),
  endpoint({
    method: 'GET',
    url: '/v1/cache/:namespace',
    operationId: 'getNamespace',
    summary: 'Settings and figures of a namespace',
    tag: 'cache',
    access: { operation: 'cache.stats', resource: ({ path }) => namespaceOf(path) },
    path: NamespacePath,
    answers: { 200: { about: 'Settings and figures.', schema: CacheStats } },
    handle: ({ path, traceHeaders }) =>
      ask(nats, subjects.cache(path.namespace, 'stats'), {}, { headers: traceHeaders }),
  }),
  endpoint({
    method: 'PATCH',
    url: '/v1/cache/:namespace',
    operationId: 'configureNamespace',
    summary: 'Change some settings of a namespace',
    tag: 'cache',
    access: { operation: 'cache.configure', resource: ({ path }) => namespaceOf(path) },
    path: NamespacePath,
    body: ConfigureRequest,
    answers: { 200: { about: 'Settings and figures, as they are from now on.', schema: CacheStats } },
    handle: ({ path, bytes, traceHeaders }) =>
      ask(nats, subjects.cache(path.namespace, 'configure'), bytes, { headers: traceHeaders }),
  }),
  endpoint({
    method: 'DELETE',
    url: '/v1/cache/:namespace',
    operationId: 'clearNamespace',
    summary: 'Remove all entries of a namespace',
    tag: 'cache',
    access: { operation: 'cache.clear', resource: ({ path }) => namespaceOf(path) },
    path: NamespacePath,
    answers: { 200: { about: 'How many there were.', schema: Cleared } },
    handle: ({ path, traceHeaders }) =>
      ask(nats, subjects.cache(path.namespace, 'clear'), {}, { headers: traceHeaders }),
  }),
  endpoint({
    method: 'GET',
    url: '/v1/cache/:namespace/keys',
    operationId: 'listKeys',
    summary: 'The keys of a namespace',
    tag: 'cache',
    access: { operation: 'cache.keys', resource: ({ path }) => namespaceOf(path) },
    path: NamespacePath,
    query: KeysRequest,
    answers: { 200: { about: 'A page of keys; `cursor` leads to the next.', schema: Keys } },
    handle: ({ path, query, traceHeaders }) =>
      ask(nats, subjects.cache(path.namespace, 'keys'), query, { headers: traceHeaders }),
  }),
];

const entryEndpoints = ({ nats, subjects, reads }: CacheEndpointsOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/v1/cache/:namespace/entries/:key',
    operationId: 'getEntry',
    summary: 'One entry; its tag is its version',
    tag: 'cache',
    access: { operation: 'cache.get', resource: ({ path }) => namespaceOf(path) },
    path: EntryPath,
    headers: IfNoneMatch,
    answers: {
      200: { about: 'The entry.', schema: GetReply },
      304: { about: 'The value is the one that the caller has.' },
    },
    refusals: ['not_found'],
    handle: async ({ path, headers, traceHeaders }) => {
      const answer = await reads.get(path.namespace, path.key, traceHeaders);
      if (!answer.ok) return answer;
      const { hit, version } = valueOf(answer.value) as GetReply;
      if (!hit) return refuse('not_found', 'there is no such entry');
      const tag = { ...answer.value.headers, ETag: `"${version ?? 0}"` };
      if (isAmong(tag.ETag, headers['if-none-match'])) return accept({ status: 304, headers: tag });
      return accept({ ...answer.value, headers: tag });
    },
  }),
  endpoint({
    method: 'PUT',
    url: '/v1/cache/:namespace/entries/:key',
    operationId: 'putEntry',
    summary: 'Set an entry, always or under a condition',
    tag: 'cache',
    access: { operation: 'cache.set', resource: ({ path }) => namespaceOf(path) },
    path: EntryPath,
    headers: Conditions,
    body: EntryBody,
    answers: { 200: { about: 'Its new version, which is its tag.', schema: Version } },
    refusals: ['conflict'],
    handle: async ({ path, headers, body, bytes, traceHeaders }) => {
      const fault = twofoldCondition(body, headers);
      if (fault !== undefined) return fault;
      const conditional = withCondition(withMember(bytes, 'key', path.key), headers);
      if (!conditional.ok) return conditional;
      const { asked, isConditional } = conditional.value;
      const set = await ask(nats, subjects.cache(path.namespace, 'set'), asked, { headers: traceHeaders });
      if (!set.ok && set.error.code === 'conflict' && isConditional) throw preconditionFailed('the entry');
      if (!set.ok) return set;
      const { version } = valueOf(set.value) as { readonly version: number };
      return accept({ ...set.value, headers: { ...set.value.headers, ETag: `"${version}"` } });
    },
  }),
  endpoint({
    method: 'DELETE',
    url: '/v1/cache/:namespace/entries/:key',
    operationId: 'deleteEntry',
    summary: 'Delete an entry',
    tag: 'cache',
    access: { operation: 'cache.delete', resource: ({ path }) => namespaceOf(path) },
    path: EntryPath,
    headers: IfMatch,
    answers: { 200: { about: 'Whether there was one.', schema: Deleted } },
    refusals: ['conflict'],
    handle: async ({ path, headers, traceHeaders }): Promise<Result<Answer>> => {
      const version = versionOf(headers['if-match']);
      if (!version.ok) return version;
      const body = { key: path.key, ...(version.value === undefined ? {} : { ifVersion: version.value }) };
      const options = { headers: traceHeaders };
      const deleted = await ask(nats, subjects.cache(path.namespace, 'delete'), body, options);
      if (!deleted.ok && deleted.error.code === 'conflict') throw preconditionFailed('the entry');
      return deleted;
    },
  }),
];

type ConditionHeaders = { readonly 'if-match'?: string; readonly 'if-none-match'?: string };

/** A condition of the body beside one of HTTP: the cache would keep to one of the two alone. */
function twofoldCondition(
  body: Pick<SetRequest, 'ifAbsent' | 'ifVersion'>,
  headers: ConditionHeaders,
): Result<never> | undefined {
  if (headers['if-match'] === undefined && headers['if-none-match'] === undefined) return undefined;
  const name = (['ifAbsent', 'ifVersion'] as const).find((one) => body[one] !== undefined);
  return name === undefined
    ? undefined
    : refuseField(name, 'cannot stand beside the headers If-Match and If-None-Match');
}

/** HTTP's conditions in the words of the cache. */
function withCondition(
  body: Uint8Array,
  headers: ConditionHeaders,
): Result<{ readonly asked: Uint8Array; readonly isConditional: boolean }> {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  if (match !== undefined && noneMatch !== undefined)
    return refuseField('If-Match', 'and If-None-Match exclude each other');
  if (noneMatch !== undefined) {
    if (noneMatch.trim() !== '*') return refuseField('If-None-Match', 'must be *');
    return accept({ asked: withMember(body, 'ifAbsent', true), isConditional: true });
  }
  const version = versionOf(match);
  if (!version.ok) return version;
  if (version.value === undefined) return accept({ asked: body, isConditional: false });
  return accept({ asked: withMember(body, 'ifVersion', version.value), isConditional: true });
}

/** The version that an `If-Match` means; undefined where there is none. */
function versionOf(match: string | undefined): Result<number | undefined> {
  if (match === undefined) return accept(undefined);
  const version = versionIn(match);
  return version === undefined
    ? refuseField('If-Match', 'must be one tag, as GET answered it')
    : accept(version);
}
