/**
 * Every subject of Trivet, from one prefix. Public subjects are the contract of docs/protocol.md; internal ones
 * are closed to all but the services (nats.conf).
 */
export function subjectsFor(prefix: string) {
  return {
    prefix,

    /** A plain, durable publish: the body is the payload. Captured by the ingest stream. */
    jobs: (queue: string) => `${prefix}.jobs.${queue}`,
    jobsAll: `${prefix}.jobs.*`,
    /** A request to one queue. */
    queue: (queue: string, operation: string) => `${prefix}.queue.${queue}.${operation}`,
    queueAll: `${prefix}.queue.*.*`,
    queueStats: `${prefix}.queue.stats`,
    queueList: `${prefix}.queue.list`,

    cache: (namespace: string, operation: string) => `${prefix}.cache.${namespace}.${operation}`,
    cacheAll: `${prefix}.cache.*.*`,
    cacheStats: `${prefix}.cache.stats`,
    /** Which node answers for which slot. */
    cacheMap: `${prefix}.cache.map`,
    /** A request to one node, which refuses what is not its own. */
    cacheNode: (namespace: string, operation: string, node: string) =>
      `${prefix}.cache.${namespace}.${operation}.${node}`,
    cacheNodeAll: (node: string) => `${prefix}.cache.*.*.${node}`,

    telemetry: (kind: string) => `${prefix}.telemetry.${kind}`,
    telemetryAll: `${prefix}.telemetry.*`,
    otlp: (signal: 'metrics' | 'logs' | 'traces') => `${prefix}.otlp.v1.${signal}`,
    otlpAll: `${prefix}.otlp.v1.*`,
    telemetryQuery: (query: string) => `${prefix}.telemetry-query.${query}`,
    telemetryQueryAll: `${prefix}.telemetry-query.*`,

    queueEvents: (queue: string, state: string) => `${prefix}.events.queue.${queue}.${state}`,
    /** Tells each broker that begins to serve. Two tokens, so that no queue's events are there. */
    queueBrokerEvents: `${prefix}.events.queue-broker`,
    cacheEvents: (namespace: string) => `${prefix}.events.cache.${namespace}`,
    /** Tells each new map. Two tokens, so that no namespace's events are there. */
    cacheMapEvents: `${prefix}.events.cache-map`,

    // Internal from here on.
    /** The log of a partition, and the fence that says who may append to it. */
    log: (partition: number) => `${prefix}.log.${partition}`,
    fence: (partition: number) => `${prefix}.fence.${partition}`,
    /** Where the owner of a partition listens during one epoch. */
    owner: (partition: number, epoch: number) => `${prefix}.owner.${partition}.${epoch}`,
    /** Where the ingest stream keeps plain publishes, by partition. */
    ingest: (partition: number) => `${prefix}.ingest.${partition}.*`,
    ingestTransform: (partitions: number) =>
      `${prefix}.ingest.{{partition(${partitions},1)}}.{{wildcard(1)}}`,
    /** Asks the owning broker for snapshots now, so that what was purged is gone from the logs, too. */
    queueCompact: `${prefix}.queue-admin.compact`,
    /** Requests of one principal, pinned to it by the auth callout: what follows is a public subject without its prefix. */
    as: (principalId: string, rest: string) => `${prefix}.as.${principalId}.${rest}`,
    asAll: `${prefix}.as.>`,
    /** `enqueue-many` and `enqueue-flow` whose `Trivet-Owner`, of the message or of each item, is believed: for services alone. */
    queueOwned: (queue: string, operation: string) => `${prefix}.queue-owned.${queue}.${operation}`,
    queueOwnedAll: `${prefix}.queue-owned.*.*`,
    audit: `${prefix}.audit`,
    /** Where one collector is asked by the others. */
    telemetryPeer: (collector: string) => `${prefix}.telemetry-peer.${collector}`,
    /** Where one collector is given messages that it has counted and another was given. */
    telemetryHand: (collector: string) => `${prefix}.telemetry-hand.${collector}`,
    /** Alerts that fire and resolve. */
    telemetryAlert: (name: string) => `${prefix}.events.telemetry.alert.${name}`,
    /** From cache node to cache node: `ask` is answered to the asking node, `forward` to the caller itself. */
    cachePeer: (node: string, verb: 'ask' | 'forward', ...rest: readonly string[]) =>
      [prefix, 'cache-peer', node, verb, ...rest].join('.'),
    cachePeerAll: (node: string) => `${prefix}.cache-peer.${node}.>`,
    /** What the cache nodes tell each other unasked. */
    cachePeerNews: `${prefix}.cache-peer-news`,
    /** Telemetry records that could not be accepted, with the reason. */
    telemetryDead: `${prefix}.telemetry-dead`,
  } as const;
}

export type Subjects = ReturnType<typeof subjectsFor>;

/** Names of the JetStream streams and buckets: the prefix in capitals, so that two prefixes share one NATS. */
export function streamsFor(prefix: string) {
  const upper = prefix.toUpperCase().replaceAll('.', '_');
  return {
    log: (partition: number) => `${upper}_LOG_${partition}`,
    /** Object-store bucket with the snapshots of a partition's table. */
    snapshots: (partition: number) => `${upper}_SNAPSHOTS_${partition}`,
    ingest: `${upper}_INGEST`,
    telemetry: `${upper}_TELEMETRY`,
    telemetryDead: `${upper}_TELEMETRY_DEAD`,
    /** KV bucket with the names of the collectors. */
    collectors: `${upper}_COLLECTORS`,
    /** KV bucket with what alerts are firing. */
    alerts: `${upper}_ALERTS`,
    audit: `${upper}_AUDIT`,
    /** KV bucket with signed heads of the audit. */
    auditHeads: `${upper}_AUDIT_HEADS`,
    /** KV buckets with API keys (as hashes), and with when they were used. */
    credentials: `${upper}_CREDENTIALS`,
    credentialUses: `${upper}_CREDENTIAL_USES`,
    /** KV bucket with the brokers' leases. */
    leases: `${upper}_LEASES`,
    /** KV bucket that says which node owns the cache. */
    cacheNodes: `${upper}_CACHE_NODES`,
    /** KV bucket with the settings of the cache's namespaces, and what is known of their backends. */
    cacheNamespaces: `${upper}_CACHE_NAMESPACES`,
  } as const;
}

export type Streams = ReturnType<typeof streamsFor>;
