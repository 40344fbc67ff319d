import type { JetStreamManager, StreamInfo } from './nats.ts';

/** In the stream's configuration, which a backup has with it. */
const metadataName = 'trivet-identity';

/**
 * What tells a stream from a later one of its name. It is when the stream was made, as `keepIdentity` wrote it down:
 * since 2.15 nats-server takes a stream that it restores from a backup for a new one.
 */
export const identityOf = ({ config, created }: Pick<StreamInfo, 'config' | 'created'>): string =>
  config.metadata?.[metadataName] ?? created;

/** Sees to it that the stream keeps its identity through backup and restore. */
export async function keepIdentity(manager: JetStreamManager, info: StreamInfo): Promise<string> {
  const { name, metadata } = info.config;
  const identity = identityOf(info);
  if (metadata?.[metadataName] === undefined)
    await manager.streams.update(name, { metadata: { ...metadata, [metadataName]: identity } });
  return identity;
}
