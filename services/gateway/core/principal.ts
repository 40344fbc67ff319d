import type { Role } from './roles.ts';

/**
 * What somebody may do. Without `queues`, `namespaces` and `cluster` it holds everywhere; with any of them, only where
 * they say.
 */
export interface Grant {
  readonly role: Role;
  /** Names, or beginnings of names followed by `*`. */
  readonly queues?: readonly string[];
  readonly namespaces?: readonly string[];
  /** A narrowed grant holds for what belongs to no queue and no namespace, too. */
  readonly cluster?: boolean;
  /** Only for items that one has enqueued oneself, and for one's own namespaces. */
  readonly own?: boolean;
}

/** Somebody whose credentials were checked. */
export interface Principal {
  /** What the audit shows and what an item's `owner` says. */
  readonly name: string;
  /** One subject token that stands for the credential: `k-…` an API key, `u-…` and `x-…` a JWT, `a-local` the local admin. */
  readonly id: string;
  /** The namespace that is one's own; those that begin with it and `_` are, too. */
  readonly ownNamespace: string;
  readonly grants: readonly Grant[];
}

/** Who holds the local token. */
export const localAdmin: Principal = {
  name: 'local admin',
  id: 'a-local',
  ownNamespace: 'a-local',
  grants: [{ role: 'admin' }],
};
