import { privateInbox } from '#shared/protocol/credentials.ts';
import type { Grant } from '#shared/protocol/identity-schemas.ts';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import { type Operation, type Resource, isAdministrative, operations } from './operations.ts';
import { authorize } from './authorization.ts';
import type { Principal } from './principal.ts';

/** What a NATS connection may publish and subscribe to; everything else is closed. */
export interface NatsPermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/**
 * The grants of a principal as NATS permissions: by `authorize`, asked once for each operation and each name that a
 * grant spells out. What NATS cannot express stays closed there and is open over HTTP: beginnings of names (a wildcard
 * is a whole token), and what is one's own (a server does not know whose an item is). What is administrative goes
 * through a subject that holds the principal, so that whoever answers knows who asked.
 * @returns permissions that allow nothing that `authorize` refuses; O(operations × names)
 */
export function natsPermissions(principal: Principal, prefix: string): NatsPermissions {
  const subjects = subjectsFor(prefix);
  const publish = new Set(['$SYS.REQ.USER.INFO']);
  const subscribe = new Set([`${privateInbox(principal.id)}.>`]);
  for (const [operation, kind] of Object.entries(operations) as [Operation, Resource['kind']][]) {
    for (const name of kind === 'cluster' ? [''] : namesOf(principal.grants, kind)) {
      if (!isAllowed(principal, operation, kind, name)) continue;
      const word = operation.slice(operation.indexOf('.') + 1);
      for (const subject of subscriptions(operation, name, subjects)) subscribe.add(subject);
      for (const subject of publications({ operation, word, kind, name }, principal, subjects))
        publish.add(subject);
    }
  }
  return { publish: [...publish], subscribe: [...subscribe] };
}

type Subjects = ReturnType<typeof subjectsFor>;

/** Names that NATS can be told: whole ones, and `*` for all. */
function namesOf(grants: readonly Grant[], kind: 'queue' | 'namespace'): readonly string[] {
  const spelled = grants.flatMap((grant) => (kind === 'queue' ? grant.queues : grant.namespaces) ?? []);
  return [...new Set(['*', ...spelled.filter((pattern) => !pattern.endsWith('*'))])];
}

/** `*` is no name of anybody's, so only a grant that holds for all names allows it. */
function isAllowed(
  principal: Principal,
  operation: Operation,
  kind: Resource['kind'],
  name: string,
): boolean {
  const everything = { ...principal, grants: principal.grants.filter((grant) => grant.own !== true) };
  const resource: Resource = kind === 'cluster' ? { kind } : { kind, name };
  return authorize(everything, operation, resource).allowed;
}

function subscriptions(operation: Operation, name: string, subjects: Subjects): readonly string[] {
  if (operation === 'queue.events') return [subjects.queueEvents(name, '*')];
  // Who waits for an answer is told when it will not come.
  if (operation === 'queue.enqueue' || operation === 'queue.dequeue' || operation === 'queue.result')
    return [subjects.queueBrokerEvents];
  if (operation === 'cache.events') return [subjects.cacheEvents(name)];
  return [];
}

interface Allowed {
  readonly operation: Operation;
  readonly word: string;
  readonly kind: Resource['kind'];
  readonly name: string;
}

function publications(
  { operation, word, kind, name }: Allowed,
  principal: Principal,
  subjects: Subjects,
): readonly string[] {
  if (operation === 'queue.events' || operation === 'cache.events') return [];
  if (kind === 'cluster') return clusterSubjects(operation, word, subjects);
  const area = kind === 'queue' ? 'queue' : 'cache';
  if (isAdministrative(operation)) return [subjects.as(principal.id, `${area}.${name}.${word}`)];
  if (kind === 'namespace') return [subjects.cache(name, word)];
  const request = subjects.queue(name, word);
  return operation === 'queue.enqueue' ? [request, subjects.jobs(name)] : [request];
}

function clusterSubjects(operation: Operation, word: string, subjects: Subjects): readonly string[] {
  if (operation === 'queue.list-all') return [subjects.queueList];
  if (operation === 'queue.stats-all') return [subjects.queueStats];
  if (operation === 'cache.stats-all') return [subjects.cacheStats];
  if (operation === 'telemetry.record') return [subjects.telemetryAll];
  if (operation === 'telemetry.otlp') return [subjects.otlpAll];
  if (operation.startsWith('telemetry.')) return [subjects.telemetryQuery(word)];
  // The services' own protocol (nats micro): it tells of processes and their figures.
  if (operation === 'cluster.describe') return ['$SRV.>'];
  return [];
}
