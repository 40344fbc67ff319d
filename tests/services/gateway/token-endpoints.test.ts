import { expect, test } from 'vitest';
import type { TokenRecord } from '#services/gateway/core/credential-records.ts';
import type { CredentialStore } from '#services/gateway/credential-store.ts';
import { tokenEndpoints } from '#services/gateway/token-endpoints.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';

// What is kept of a key may be newer than what this gateway knows of it.

const key: TokenRecord = {
  kind: 'token',
  id: '0123456789abcdef',
  name: 'mailer',
  sha256: '',
  grants: [{ role: 'viewer' }],
  createdAtMs: 0,
  createdBy: 'ada',
};

/** @param known what the mirror of this gateway has  @param meanwhile changes by others, one before each write */
function world(known: TokenRecord | undefined, kept: TokenRecord | undefined, meanwhile: TokenRecord[] = []) {
  let now = kept === undefined ? undefined : { record: kept, revision: 1 };
  const credentials = {
    token: () => known,
    current: () => Promise.resolve(now),
    write: (record: TokenRecord) => {
      now = { record, revision: (now?.revision ?? 0) + 1 };
      return Promise.resolve();
    },
    replace: (record: TokenRecord, revision: number) => {
      const other = meanwhile.shift();
      if (other !== undefined) now = { record: other, revision: revision + 1 };
      if (revision !== now?.revision) return Promise.resolve(false);
      now = { record, revision: revision + 1 };
      return Promise.resolve(true);
    },
  } as unknown as CredentialStore;
  const endpoint = tokenEndpoints({ credentials, clock: new ManualClock(7) }).find(
    ({ operationId }) => operationId === 'revokeToken',
  );
  return {
    revoke: () => endpoint?.handle({ path: { token_id: key.id } } as never),
    kept: () => now?.record,
  };
}

test('a key that another gateway has just made is revoked, and not unknown', async () => {
  const { revoke, kept } = world(undefined, key);
  expect(await revoke()).toMatchObject({ ok: true });
  expect(kept()).toMatchObject({ revokedAtMs: 7 });
});

test('a revocation keeps what others have written of the key in the same moment', async () => {
  const rotated = { ...key, expiresAtMs: 9, replacedBy: 'fedcba9876543210' };
  const { revoke, kept } = world(key, key, [rotated]);
  expect(await revoke()).toMatchObject({ ok: true, value: { body: { replacedBy: rotated.replacedBy } } });
  expect(kept()).toEqual({ ...rotated, revokedAtMs: 7 });
});

test('a key that only this gateway knows yet is revoked: the server that was read from may lag behind', async () => {
  const { revoke, kept } = world(key, undefined);
  expect(await revoke()).toMatchObject({ ok: true });
  expect(kept()).toMatchObject({ revokedAtMs: 7 });
});
