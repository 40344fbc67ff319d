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

/** What the audit calls whoever has proved nothing. */
export const nobody: Pick<Principal, 'name' | 'id'> = { name: 'nobody', id: 'nobody' };

/** Capitals, blanks and dashes do not make it another name to whoever reads the audit. */
const plainly = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, ' ')
    .trim();

const reservedNames: ReadonlySet<string> = new Set([localAdmin.name, localAdminId, nobody.name].map(plainly));

/**
 * True for the names that the audit gives to those who have no credentials of that name: a JWT whose subject is one of
 * them could pose there as the local admin, or as nobody.
 */
export const isReservedName = (name: string): boolean => reservedNames.has(plainly(name));

/**
 * An `Idempotency-Key` that means what this principal means by it: two callers who both count from 1 must not be one,
 * or the one would be handed the other's items, and his records would be dropped.
 * @param digest keeps it as short as it must be
 */
export const ownKey = (
  principal: Principal | undefined,
  key: string | undefined,
  digest: (text: string) => string,
): string | undefined =>
  key === undefined ? undefined : digest(`${principal?.name ?? nobody.name}\n${key}`);

/** Whose what this principal enqueues is. The local admin is nobody in particular. */
export const ownerFrom = (principal: Principal | undefined): string | undefined =>
  principal === undefined || principal.id === localAdminId ? undefined : principal.name;
