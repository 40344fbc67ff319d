import { localAdminId } from '#shared/protocol/credentials.ts';
import type { Grant } from '#shared/protocol/identity-schemas.ts';

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
  id: localAdminId,
  ownNamespace: localAdminId,
  grants: [{ role: 'admin' }],
};

/** Whose what this principal enqueues is. The local admin is nobody in particular. */
export const ownerFrom = (principal: Principal | undefined): string | undefined =>
  principal === undefined || principal.id === localAdminId ? undefined : principal.name;
