import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { ConfigOf } from '#shared/runtime/config.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { openOwnedFolder } from '#shared/runtime/owned-folder.ts';
import { type SigningKey, newSigningSeed, signingKey } from '#shared/runtime/signing-key.ts';
import { AuditHeads } from './audit-heads.ts';
import { AuditStream } from './audit-stream.ts';
import { AuditTrail } from './audit-trail.ts';
import { type Authenticate, authentication } from './authentication.ts';
import { CredentialStore } from './credential-store.ts';
import type { identitySettings } from './identity-settings.ts';
import { jwtOptions, jwtVerifier } from './jwt-verifier.ts';

export interface IdentityOptions {
  readonly config: ConfigOf<typeof identitySettings> & {
    readonly prefix: string;
    readonly replicas: number;
    readonly data: string;
  };
  /** The local admin's token; undefined where there is none. */
  readonly localToken: string | undefined;
  readonly nats: Nats;
  readonly clock: Clock;
  readonly log: Log;
}

/** What gateway and auth callout share: the same credentials mean the same principal to both, and one audit. */
export interface Identity {
  readonly authenticate: Authenticate;
  readonly credentials: CredentialStore;
  readonly audit: AuditTrail;
  readonly auditStream: AuditStream;
  readonly auditHeads: AuditHeads;
  readonly auditKey: SigningKey;
  readonly auditEverything: boolean;
  close(): Promise<void>;
}

/**
 * Opens credentials and audit.
 * @throws StartRefused (2) when the settings of JWTs do not fit together, or this process may not write to its folder
 */
export async function openIdentity(options: IdentityOptions): Promise<Identity> {
  const { config, localToken, nats, clock, log } = options;
  const { prefix, replicas, data } = config;
  const streams = streamsFor(prefix);
  const jwt = jwtOptions(config);
  const verifyJwt = jwt === undefined ? undefined : await jwtVerifier(jwt);
  const credentials = new CredentialStore({
    nats,
    clock,
    bucket: streams.credentials,
    usesBucket: streams.credentialUses,
    replicas,
  });
  await credentials.open();
  openOwnedFolder(data, ['audit-key', 'audit-head.json']);
  const auditKey = signingKey(config.auditKey ?? (await ownSeed(join(data, 'audit-key'))));
  const auditStream = new AuditStream({
    nats,
    stream: streams.audit,
    subject: subjectsFor(prefix).audit,
    replicas,
  });
  const auditHeads = new AuditHeads({ nats, bucket: streams.auditHeads, replicas, data });
  await auditHeads.open();
  const audit = new AuditTrail({
    stream: auditStream,
    clock,
    key: auditKey,
    keepHead: (head) => auditHeads.keep(head),
    log,
  });
  await audit.open();
  return {
    authenticate: authentication({
      clock,
      localToken,
      credentials,
      verifyJwt,
      clockSkewMs: config.jwtClockSkewMs,
      grantsClaim: config.jwtGrantsClaim,
    }),
    credentials,
    audit,
    auditStream,
    auditHeads,
    auditKey,
    auditEverything: config.audit === 'everything',
    close: async () => {
      credentials.close();
      await audit.close();
    },
  };
}

async function ownSeed(file: string): Promise<string> {
  // One that cannot be read is never taken for none: another key would sign the audit from then on.
  const kept = existsSync(file) ? await readFile(file, 'utf8') : '';
  if (kept.trim() !== '') return kept.trim();
  const seed = newSigningSeed();
  await writeFile(file, `${seed}\n`, { mode: 0o600 });
  return seed;
}
