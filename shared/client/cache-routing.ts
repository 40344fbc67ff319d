import { setTimeout as delay } from 'node:timers/promises';
import type { Refusal } from '#shared/protocol/errors.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';

/** Where the requests of one namespace go. */
export interface CacheRouting {
  /**
   * The subject for one request.
   * @param key  what it is about; undefined for a request about no key, which any node answers
   * @returns a string that is the same object for all keys of one node: keys with one subject share a message
   */
  subjectOf(operation: string, key: string | undefined): string;
  /** The node that answers for `key`, with which the epochs of its events begin; undefined where that is not known. */
  nodeOf(key: string): string | undefined;
  /** Whether some keys are answered for by another node than `nodeOf` says, from which they come. */
  isMoving(): boolean;
  /**
   * Where a request goes that was not taken at `subject`: nothing was done there. Undefined where there is no other way.
   * Resolves after a moment, or after the map was read again.
   */
  instead(subject: string, refusal: Refusal): Promise<string> | undefined;
  /** Resolves once what is known of the nodes is as new as any of them knows; false where none could be asked. */
  refresh(): Promise<boolean>;
  /** Calls `listener` when keys have moved to other nodes; the returned function ends that. */
  onMove(listener: () => void): () => void;
}

/** Before a request that nobody could take is sent again, in milliseconds. */
export const againMs = 100;

/** Whether a node said that it, and those that it could send on to, did nothing of the request. */
export const isNotDone = ({ code, details }: Refusal): boolean =>
  code === 'unavailable' && details?.['notDone'] === true;

/** Any node: it forwards what is not its own. */
export function anyNode(subjects: Subjects, namespace: string): CacheRouting {
  const made = new Map<string, string>();
  return {
    subjectOf: (operation) => {
      const known = made.get(operation);
      if (known !== undefined) return known;
      const subject = subjects.cache(namespace, operation);
      made.set(operation, subject);
      return subject;
    },
    nodeOf: () => undefined,
    isMoving: () => false,
    refresh: () => Promise.resolve(true),
    instead: (subject, refusal) => (isNotDone(refusal) ? delay(againMs, subject) : undefined),
    onMove: () => () => undefined,
  };
}
