import { debianSidPackage, distributionPackage } from './apt-package.ts';
import { goInstall } from './go-install.ts';
import { inCache, onPath } from './local-sources.ts';
import type { NatsServerSource } from './source.ts';

/**
 * Where a nats-server is looked for, in this order. (`NATS_URL` comes before all of them: with it, none is started.)
 *
 * The official release is left out for now: a source whose checksum nobody has read from its publisher does not
 * belong here. Who reads SHA256SUMS on the release page adds one entry after `inCache`:
 *
 *     officialRelease({ version: '2.15.2', sha256: { 'linux-amd64': '…', 'linux-arm64': '…', 'darwin-arm64': '…' } }),
 *
 * The reasons for each source are in docs/decisions/0002-nats-server-sources.md.
 */
export const natsServerSources: readonly NatsServerSource[] = [
  onPath,
  inCache,
  distributionPackage,
  debianSidPackage,
  goInstall,
];
