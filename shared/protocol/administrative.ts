import type { Subjects } from './subjects.ts';

/**
 * What changes how queues and caches behave, or removes what is kept: it is always in the audit, and where tokens are
 * required it goes over NATS through `trivet.as.<principal>.…`, so that the audit's "who" is true. (What an item or an
 * entry goes through day by day is in the audit only by setting.)
 */
const words: ReadonlySet<string> = new Set([
  'queue.cancel',
  'queue.purge',
  'queue.replay',
  'queue.reprioritize',
  'queue.update',
  'queue.pause',
  'queue.resume',
  'queue.configure',
  'cache.clear',
  'cache.configure',
]);

/** @param operation `queue.pause`, `cache.clear`, … */
export const isAdministrativeRequest = (operation: string): boolean => words.has(operation);

/** The subjects of one principal: what is administrative goes through its own. */
export const subjectsAs = (subjects: Subjects, principalId: string): Subjects => ({
  ...subjects,
  queue: (queue, operation) =>
    isAdministrativeRequest(`queue.${operation}`)
      ? subjects.as(principalId, `queue.${queue}.${operation}`)
      : subjects.queue(queue, operation),
  cache: (namespace, operation) =>
    isAdministrativeRequest(`cache.${operation}`)
      ? subjects.as(principalId, `cache.${namespace}.${operation}`)
      : subjects.cache(namespace, operation),
});
