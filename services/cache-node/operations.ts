import {
  type CacheRequestName,
  type CacheStats,
  SetRequest,
  cacheRequests,
} from '#shared/protocol/cache-schemas.ts';
import type { Encoding } from '#shared/protocol/encoding.ts';
import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { cacheKeysPageDefault } from '#shared/protocol/limits.ts';
import { type Encoded, encodePart } from '#shared/protocol/splice.ts';
import { type Validator, validator } from '#shared/protocol/validation.ts';
import type { Namespace, NamespaceSettings } from './core/namespace.ts';
import { entryReply, itemsReply } from './entry-reply.ts';
import { readKey, readSet, readTtl } from './set-command.ts';

/** What a request is decided with. */
export interface Call {
  readonly namespace: Namespace;
  readonly nowMs: number;
  readonly replyEncoding: Encoding;
}

/** Validates a decoded body (request-body.ts), decides, and encodes the reply. Never throws on what a caller can send. */
export type Operation = (body: unknown, call: Call) => Result<Encoded>;

/** An operation whose reply is encoded here, as most are. */
const operation = <Request>(
  check: Validator<Request>,
  decide: (request: Request, call: Call) => Result<unknown>,
): Operation =>
  encodedOperation(check, (request, call) => {
    const reply = decide(request, call);
    return reply.ok ? accept(encodePart(reply.value, call.replyEncoding)) : reply;
  });

/** An operation that splices its reply from what is encoded already. */
const encodedOperation =
  <Request>(
    check: Validator<Request>,
    decide: (request: Request, call: Call) => Result<Encoded>,
  ): Operation =>
  (body, call) => {
    const request = check(body);
    return request.ok ? decide(request.value, call) : request;
  };

/** An operation on one key. */
const keyOperation = (decide: (key: string, call: Call) => Result<Encoded>): Operation =>
  encodedOperation(validator(cacheRequests.get), (request, call) => {
    const key = readKey(request.key);
    return key.ok ? decide(key.value, call) : key;
  });

const get = keyOperation((key, { namespace, replyEncoding, nowMs }) =>
  entryReply(namespace.get(key, nowMs), replyEncoding, nowMs),
);

const set = operation(validator(SetRequest), (request, { namespace, nowMs }) => {
  const unknown = unservedField(request, ['key', 'value', 'ttl', 'sliding', 'ifAbsent', 'ifVersion']);
  if (unknown !== undefined) return unknown;
  const command = readSet(request);
  return command.ok ? namespace.set(command.value, nowMs) : command;
});

const remove = keyOperation((key, { namespace, replyEncoding, nowMs }) =>
  accept(encodePart({ deleted: namespace.delete(key, nowMs) }, replyEncoding)),
);

/** What the wire has and this node does not do yet: refused by name, never taken and forgotten. */
const unserved = (check: Validator<unknown>, name: string): Operation =>
  operation(check, () => refuse('unavailable', `${name} is not served by this node yet`));

/** The fields of a request that this node does not act upon yet. */
function unservedField(request: object, served: readonly string[]) {
  const field = Object.keys(request).find((name) => !served.includes(name));
  return field === undefined
    ? undefined
    : refuse('unavailable', `${field} is not served by this node yet`, { field });
}

/** A batch is its single operation, item by item: a bad item refuses only itself. */
const batch = <Request>(
  check: Validator<Request>,
  bodies: (request: Request) => readonly unknown[],
  single: Operation,
): Operation =>
  encodedOperation(check, (request, call) =>
    accept(
      itemsReply(
        bodies(request).map((body) => single(body, call)),
        call.replyEncoding,
      ),
    ),
  );

const keyBodies = (request: { readonly keys: readonly unknown[] }) => request.keys.map((key) => ({ key }));

/** Every operation of `trivet.cache.<namespace>.<operation>`. */
export const operations: Readonly<Record<CacheRequestName, Operation>> = {
  get,
  set,
  delete: remove,
  'get-many': batch(validator(cacheRequests['get-many']), keyBodies, get),
  'set-many': batch(validator(cacheRequests['set-many']), (request) => request.items, set),
  'delete-many': batch(validator(cacheRequests['delete-many']), keyBodies, remove),

  exists: keyOperation((key, { namespace, replyEncoding, nowMs }) =>
    accept(encodePart({ exists: namespace.exists(key, nowMs) }, replyEncoding)),
  ),

  increment: operation(validator(cacheRequests.increment), (request, { namespace, nowMs }) => {
    const key = readKey(request.key);
    if (!key.ok) return key;
    const ttlMs = readTtl(request.ttl, 'ttl');
    if (!ttlMs.ok) return ttlMs;
    const { by = 1, initial = 0 } = request;
    return namespace.increment({ key: key.value, by, initial, ttlMs: ttlMs.value }, nowMs);
  }),

  touch: operation(validator(cacheRequests.touch), (request, { namespace, nowMs }) => {
    const key = readKey(request.key);
    if (!key.ok) return key;
    const ttlMs = readTtl(request.ttl, 'ttl');
    if (!ttlMs.ok) return ttlMs;
    return accept({ touched: namespace.touch(key.value, ttlMs.value ?? 0, nowMs) });
  }),

  clear: operation(validator(cacheRequests.clear), (_request, { namespace }) =>
    accept({ cleared: namespace.clear() }),
  ),

  'invalidate-tags': unserved(validator(cacheRequests['invalidate-tags']), 'invalidate-tags'),
  load: unserved(validator(cacheRequests.load), 'load'),
  'load-failed': unserved(validator(cacheRequests['load-failed']), 'load-failed'),
  missed: unserved(validator(cacheRequests.missed), 'missed'),

  keys: operation(validator(cacheRequests.keys), (request, { namespace, nowMs }) => {
    const { prefix = '', limit = cacheKeysPageDefault, cursor } = request;
    return namespace.keys({ prefix, limit, cursor }, nowMs);
  }),

  stats: operation(validator(cacheRequests.stats), (_request, { namespace }) => accept(namespace.stats())),

  configure: operation(
    validator(cacheRequests.configure),
    (request, { namespace, nowMs }): Result<CacheStats> => {
      const unknown = unservedField(request, ['defaultTtl', 'entriesMax', 'bytesMax']);
      if (unknown !== undefined) return unknown;
      const { defaultTtl, ...quotas } = request;
      const ttlMs = readTtl(defaultTtl, 'defaultTtl');
      if (!ttlMs.ok) return ttlMs;
      const settings = (
        ttlMs.value === undefined ? quotas : { ...quotas, defaultTtlMs: ttlMs.value }
      ) as Partial<NamespaceSettings>;
      namespace.configure(settings, nowMs);
      return accept(namespace.stats());
    },
  ),
};
