import {
  type CacheRequestName,
  type ConfigureRequest,
  type KeyRequest,
  type SetRequest,
  cacheRequests,
} from '#shared/protocol/cache-schemas.ts';
import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import * as limits from '#shared/protocol/limits.ts';
import { isName } from '#shared/protocol/names.ts';
import { type Validator, validator } from '#shared/protocol/validation.ts';
import { compressed } from './compression.ts';
import type { KeysCommand, SetCommand } from './core/commands.ts';
import type { LoadOutcome } from './core/fills.ts';
import type { Namespace } from './core/namespace.ts';
import type { NamespaceSettings } from './core/namespace-settings.ts';
import { writeEntry, writeItems, writeOutcome, writeSet } from './entry-reply.ts';
import type { ReplyWriter } from './reply-writer.ts';
import { readKey, readSet, readTags, readTtl } from './set-command.ts';

/** What a request is decided with. */
export interface Call {
  readonly namespace: Namespace;
  readonly nowMs: number;
  /** Where the reply is written. */
  readonly out: ReplyWriter;
  /** Answers a `load` that had to wait; may be called much later, or in this turn. */
  readonly answerLater: (outcome: LoadOutcome) => void;
}

/** The reply was written; or it will come later; or why not. */
export type Decided = 'written' | 'later' | Refusal;

/** One operation: validates a decoded body (request-body.ts), decides, writes. Never throws on what a caller can send. */
export interface Operation {
  /** A request that is valid, or why it is not. */
  read(body: unknown): Result<Request>;
}

/** A request that was read and not yet decided. */
export interface Request {
  readonly keys: readonly string[];
  /** Those of the keys whose entries it looks at: whoever has to fetch them can do so first. Left out: all. */
  readonly reads?: readonly string[];
  /** A page of keys that a backend may know better than memory. */
  readonly page?: KeysCommand;
  /** Settings that are kept before they hold. */
  readonly settings?: Partial<NamespaceSettings>;
  decide(call: Call): Decided;
}

/** Writes a reply or says why not. */
type Decide<Read> = (read: Read, call: Call) => Refusal | undefined;

/** An operation on one key. */
const keyOperation = (decide: Decide<string>): Operation =>
  onOne(
    validator(cacheRequests.get),
    ({ key }: KeyRequest) => readKey(key),
    (key) => key,
    decide,
  );

/** An operation on one key, with more than the key. */
function onOne<Body, Read>(
  check: Validator<Body>,
  read: (body: Body) => Result<Read>,
  keyOf: (read: Read) => string,
  decide: Decide<Read>,
  isBlind: (read: Read) => boolean = () => false,
): Operation {
  return {
    read: (body) => {
      const checked = check(body);
      const done = checked.ok ? read(checked.value) : checked;
      if (!done.ok) return done;
      const { value } = done;
      const keys = [keyOf(value)];
      const reads = isBlind(value) ? [] : keys;
      return accept({ keys, reads, decide: (call) => decide(value, call) ?? 'written' });
    },
  };
}

/** An operation on the namespace as a whole, whose reply is encoded here. */
function onAll<Body, Read>(
  check: Validator<Body>,
  read: (body: Body) => Result<Read>,
  decide: (read: Read, call: Call) => Result<unknown>,
  more: (read: Read) => Pick<Request, 'page' | 'settings'> = () => ({}),
): Operation {
  return {
    read: (body) => {
      const checked = check(body);
      const done = checked.ok ? read(checked.value) : checked;
      if (!done.ok) return done;
      const { value } = done;
      const decideAll = (call: Call) => written(decide(value, call), call) ?? 'written';
      return accept({ keys: [], ...more(value), decide: decideAll });
    },
  };
}

/** A batch is its single operation, item by item: a bad item refuses only itself. */
function batch<Body, Read>(
  check: Validator<Body>,
  itemsOf: (body: Body) => readonly unknown[],
  item: {
    readonly read: (item: unknown) => Result<Read>;
    readonly keyOf: (read: Read) => string;
    readonly decide: Decide<Read>;
    readonly isBlind?: (read: Read) => boolean;
  },
): Operation {
  return {
    read: (body) => {
      const checked = check(body);
      if (!checked.ok) return checked;
      const items = itemsOf(checked.value).map(item.read);
      const keys: string[] = [];
      const reads: string[] = [];
      for (const one of items) {
        if (!one.ok) continue;
        const key = item.keyOf(one.value);
        keys.push(key);
        if (item.isBlind?.(one.value) !== true) reads.push(key);
      }
      return accept({
        keys,
        reads,
        decide: (call) => {
          writeItems(call.out, items.length, (index) => {
            const one = items[index] as Result<Read>;
            return one.ok ? item.decide(one.value, call) : one.error;
          });
          return 'written';
        },
      });
    },
  };
}

const asIs = <Body>(body: Body): Result<Body> => accept(body);
const sameKey = (key: string): string => key;

function written(reply: Result<unknown>, { out }: Call): Refusal | undefined {
  if (!reply.ok) return reply.error;
  out.value(reply.value);
  return undefined;
}

const checkKey = validator(cacheRequests.get);
const checkSet = validator(cacheRequests.set);

/** One of the keys of a batch: checked as the key of a single request, so that refusals are the same. */
function readBatchKey(item: unknown): Result<string> {
  if (typeof item === 'string' && item.length > 0 && item.length * 3 <= limits.cacheKeyBytesMax)
    return readKey(item);
  const checked = checkKey({ key: item });
  return checked.ok ? readKey(checked.value.key) : checked;
}

function readSetItem(item: unknown): Result<SetCommand> {
  const checked = checkSet(item);
  return checked.ok ? readSet(checked.value) : checked;
}

const getOne: Decide<string> = (key, { namespace, nowMs, out }) =>
  writeEntry(out, namespace.get(key, nowMs), { nowMs, tellTags: namespace.settings.nearCache });

const setOne: Decide<SetCommand> = (command, { namespace, nowMs, out }) => {
  const above = namespace.settings.compressAbove;
  const { value } = command;
  const set =
    above > 0 && value.bytes.length > above ? { ...command, value: compressed(value, above) } : command;
  const done = namespace.set(set, nowMs);
  if (!done.ok) return done.error;
  const { version, expiresAtMs } = done.value;
  // A near cache keeps what it wrote, and no longer than the entry lives.
  const tellsTtl = namespace.settings.nearCache && expiresAtMs !== Infinity;
  writeSet(out, version, tellsTtl ? Math.ceil(expiresAtMs - nowMs) : undefined);
  return undefined;
};

const deleteOne: Decide<string> = (key, call) =>
  written(accept({ deleted: call.namespace.delete(key, call.nowMs) }), call);

const deleteVersion: Decide<{ readonly key: string; readonly ifVersion: number | undefined }> = (
  { key, ifVersion },
  call,
) => {
  const conflict = ifVersion === undefined ? undefined : call.namespace.isOther(key, ifVersion, call.nowMs);
  return conflict ?? deleteOne(key, call);
};

const keysOf = (request: { readonly keys: readonly unknown[] }) => request.keys;

const ofKey = (read: { readonly key: string }): string => read.key;

/** It writes whatever is there, so it need not be known. */
const isUnconditional = ({ condition }: SetCommand): boolean => condition.kind === 'always';

/** Every operation of `trivet.cache.<namespace>.<operation>`. */
export const operations: Readonly<Record<CacheRequestName, Operation>> = {
  get: keyOperation(getOne),
  set: onOne(checkSet, (request: SetRequest) => readSet(request), ofKey, setOne, isUnconditional),
  delete: onOne(
    validator(cacheRequests.delete),
    ({ key, ifVersion }) => withKey(key, accept({ ifVersion }), (condition) => condition),
    ofKey,
    deleteVersion,
  ),
  'get-many': batch(validator(cacheRequests['get-many']), keysOf, {
    read: readBatchKey,
    keyOf: sameKey,
    decide: getOne,
  }),
  'set-many': batch(validator(cacheRequests['set-many']), (request) => request.items, {
    read: readSetItem,
    keyOf: ofKey,
    decide: setOne,
    isBlind: isUnconditional,
  }),
  'delete-many': batch(validator(cacheRequests['delete-many']), keysOf, {
    read: readBatchKey,
    keyOf: sameKey,
    decide: deleteOne,
  }),

  exists: keyOperation((key, call) =>
    written(accept({ exists: call.namespace.exists(key, call.nowMs) }), call),
  ),

  increment: onOne(
    validator(cacheRequests.increment),
    ({ key, by = 1, initial = 0, ttl }) =>
      withKey(key, readTtl(ttl, 'ttl'), (ttlMs) => ({ by, initial, ttlMs })),
    ofKey,
    (command, call) => written(call.namespace.increment(command, call.nowMs), call),
  ),

  touch: onOne(
    validator(cacheRequests.touch),
    ({ key, ttl }) => withKey(key, readTtl(ttl, 'ttl'), (ttlMs) => ({ ttlMs: ttlMs ?? 0 })),
    ofKey,
    ({ key, ttlMs }, call) =>
      written(accept({ touched: call.namespace.touch(key, ttlMs, call.nowMs) }), call),
  ),

  clear: onAll(validator(cacheRequests.clear), asIs, (_request, { namespace, nowMs }) =>
    accept({ cleared: namespace.clear(nowMs) }),
  ),

  'invalidate-tags': onAll(
    validator(cacheRequests['invalidate-tags']),
    ({ tags }) => readTags(tags),
    (tags, { namespace }) => accept({ tags: namespace.invalidateTags(tags) }),
  ),

  keys: onAll(
    validator(cacheRequests.keys),
    ({ prefix = '', limit = limits.cacheKeysPageDefault, cursor }) => accept({ prefix, limit, cursor }),
    (command, { namespace, nowMs }) => namespace.keys(command, nowMs),
    (page) => ({ page }),
  ),

  load: {
    read: (body) => {
      const checked = checkLoad(body);
      if (!checked.ok) return checked;
      const { key, lease, wait } = checked.value;
      const leaseMs = readTtl(lease, 'lease', leaseBounds);
      if (!leaseMs.ok) return leaseMs;
      const asked = withKey(key, readTtl(wait, 'wait', waitBounds), (waitMs) => ({
        leaseMs: leaseMs.value ?? limits.cacheLoadLeaseMsDefault,
        waitMs: waitMs ?? limits.cacheLoadWaitMsDefault,
      }));
      if (!asked.ok) return asked;
      return accept({ keys: [asked.value.key], decide: (call) => load(asked.value, call) });
    },
  },

  'load-failed': onOne(
    validator(cacheRequests['load-failed']),
    ({ key, loadToken, error, ttl }) =>
      withKey(key, readTtl(ttl, 'ttl', failureBounds), (ttlMs) => ({
        loadToken,
        message: error.message,
        ttlMs: ttlMs ?? 0,
      })),
    ofKey,
    (command, call) => written(call.namespace.loadFailed(command, call.nowMs), call),
  ),

  stats: onAll(validator(cacheRequests.stats), asIs, (_request, { namespace, nowMs }) =>
    accept(namespace.stats(nowMs)),
  ),

  configure: onAll(
    validator(cacheRequests.configure),
    readSettings,
    (settings, { namespace, nowMs }) => {
      namespace.configure(settings, nowMs);
      return accept(namespace.stats(nowMs));
    },
    (settings) => ({ settings }),
  ),

  missed: onAll(validator(cacheRequests.missed), asIs, ({ epoch, after }, { namespace }) =>
    accept(namespace.events.missed(epoch, after)),
  ),
};

const checkLoad = validator(cacheRequests.load);

interface LoadCommand {
  readonly key: string;
  readonly leaseMs: number;
  readonly waitMs: number;
}

function load({ key, leaseMs, waitMs }: LoadCommand, call: Call): Decided {
  const waiter = { answer: call.answerLater };
  const outcome = call.namespace.load(key, { leaseMs, waitMs, waiter }, call.nowMs);
  return outcome === undefined ? 'later' : (writeOutcome(call.out, outcome) ?? 'written');
}

/** A command with its key, where both parts can be read. */
function withKey<Part, Read>(
  text: string,
  part: Result<Part>,
  make: (part: Part) => Read,
): Result<Read & { readonly key: string }> {
  const key = readKey(text);
  if (!key.ok) return key;
  return part.ok ? accept({ ...make(part.value), key: key.value }) : part;
}

const leaseBounds = {
  minMs: limits.cacheLoadLeaseMsMin,
  maxMs: limits.cacheLoadLeaseMsMax,
  expected: '100 milliseconds to one hour',
};
const waitBounds = { minMs: 0, maxMs: limits.waitMsMax, expected: 'at most one minute' };
const failureBounds = { minMs: 0, maxMs: limits.cacheFailureMsMax, expected: 'at most one hour' };

function readSettings(request: ConfigureRequest): Result<Partial<NamespaceSettings>> {
  // MessagePack carries undefined; a setting that is undefined is left out, and keeps.
  const given = Object.entries(request).filter(([, value]) => value !== undefined);
  const { defaultTtl, defaultGrace, ...rest } = Object.fromEntries(given) as ConfigureRequest;
  const ttlMs = readTtl(defaultTtl, 'defaultTtl');
  if (!ttlMs.ok) return ttlMs;
  const graceMs = readTtl(defaultGrace, 'defaultGrace');
  if (!graceMs.ok) return graceMs;
  return accept({
    ...(rest as Partial<NamespaceSettings>),
    ...(ttlMs.value === undefined ? {} : { defaultTtlMs: ttlMs.value }),
    ...(graceMs.value === undefined ? {} : { defaultGraceMs: graceMs.value }),
  });
}

/** Why a request went to no operation of a namespace. */
export const badAddress = (namespace: string): Refusal =>
  isName(namespace)
    ? refuseField('operation', `must be one of ${Object.keys(cacheRequests).join(', ')}`).error
    : refuseField('namespace', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -').error;
