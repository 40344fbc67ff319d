import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { encode, json } from '#shared/protocol/encoding.ts';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import type { Log } from '#shared/runtime/log.ts';
import { leaseRecord } from '#shared/runtime/kv-lease-record.ts';
import { kvRecords } from '#shared/runtime/kv-records.ts';
import { type Nats, type Subscription, onReconnect } from '#shared/runtime/nats.ts';
import { announceService } from '#shared/runtime/service-protocol.ts';
import type { OwnTelemetry } from '#shared/runtime/telemetry.ts';
import { Backends } from './backends.ts';
import { CacheService, cacheQueueGroup } from './cache-service.ts';
import { ClusterNode } from './cluster-node.ts';
import { ClusterOperations } from './cluster-operations.ts';
import { clusterTurn } from './cluster-turn.ts';
import { publicMap, readMap, writeMap } from './core/node-map-text.ts';
import { NamespaceRecords } from './namespace-records.ts';
import { observeTotals, requestObserver } from './observation.ts';
import { PeerLink, type PeerQuestions } from './peer-link.ts';
import { RedisConnection } from './redis-connection.ts';
import { Sharding } from './sharding.ts';
import { NodeContents } from './slot-contents.ts';
import { slotNews } from './slot-news.ts';
import { refuseTwin } from './twin.ts';

export interface CacheNodeOptions {
  readonly nats: Nats;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: OwnTelemetry;
  readonly service: string;
  readonly version: string;
  /** Name of the process, stable over restarts. */
  readonly name: string;
  readonly prefix: string;
  readonly replicas: number;
  readonly bytesMax: number;
  readonly leaseMs: number;
  /** How long slots wait for nodes that all were stopped, in milliseconds. */
  readonly returnMs: number;
  /** How long a node that ends may take to hand over what it holds, in milliseconds. */
  readonly handOverMsMax: number;
  /** Folder of this process. */
  readonly data: string;
  readonly redisUrl: string;
  readonly deadlineMs: number;
  /** Ends the process. */
  readonly fail: (error: Error) => void;
}

/** A cache node: its lease and the node map say for which keys it answers, the service says what. */
export function cacheNode(options: CacheNodeOptions): Service {
  const { nats, clock, log, telemetry, service, version, name, prefix, replicas } = options;
  const subjects = subjectsFor(prefix);
  const endpoints = [
    { name: 'requests', subject: subjects.cacheAll, queueGroup: cacheQueueGroup },
    { name: 'stats', subject: subjects.cacheStats, queueGroup: cacheQueueGroup },
  ];
  const announced = announceService(
    nats,
    { name: service, version, description: 'Cache over NATS', endpoints },
    name,
  );
  let isLeaving = false;
  const failed = (error: unknown) => {
    // Where all end together, the others are gone before they have fetched everything: that is no fault.
    if (isLeaving) log.debug({ err: error }, 'a step among the cache nodes failed while this one leaves');
    else log.warn({ err: error }, 'a step among the cache nodes failed, and is tried again');
  };
  const tellSlots = slotNews(clock, log);
  const redis = new RedisConnection({ url: options.redisUrl, clock, log });
  const records = kvRecords(nats, { bucket: streamsFor(prefix).cacheNodes, replicas });
  const peers = new PeerLink(nats, subjects);
  const contents = new NodeContents({
    namespaces: () => cache.namespaces,
    tierOf: (one) => cache.tiers.of(one),
    fileOf: (one) => (one.settings.backend === 'file' ? cache.tiers.of(one) : undefined),
    clock,
    wallMs: (monotonicMs) => cache.wallMs(monotonicMs),
    dismissed: (one, isGoing) => one.fills.close(isGoing),
    clear: () => cache.forget(),
  });
  const node: ClusterNode = new ClusterNode({
    name,
    instance: randomUUID(),
    newId: () => randomBytes(8).toString('hex'),
    clock,
    leaseMs: options.leaseMs,
    returnMs: options.returnMs,
    mapRecord: {
      read: async () => {
        const { text, revision } = await records.read('map');
        return { map: text === undefined ? undefined : readMap(text), revision };
      },
      write: (map, revision) => records.write('map', writeMap(map), revision),
    },
    leaseOf: (one) => leaseRecord(records, `node.${Buffer.from(one).toString('base64url')}`),
    peers,
    contents,
    events: {
      joined: (id) => own.listen(id),
      entered: (id, filesSince) => cache.enter(id, filesSince),
      left: (by) => {
        if (!isLeaving) log.warn({ by: by?.node }, 'this node is no longer one of the cluster');
        own.end();
        sharding.release();
        if (by?.node === name) options.fail(new Error(`another process runs under the name ${name}`));
      },
      mapChanged: (map) => {
        shareQuotas(cache, node);
        sharding.release();
        if (node.id !== undefined && !nats.connection.isClosed())
          nats.connection.publish(subjects.cacheMapEvents, encode(publicMap(map), json));
      },
      began: (slots, start) => {
        tellSlots(slots, start);
        shareQuotas(cache, node);
        cache.tiers.regain();
        sharding.release();
      },
      failed,
    },
  });
  const bornMs = () => node.map.bornMs;
  const cache: CacheService = new CacheService({
    nats,
    subjects,
    clock,
    bytesMax: options.bytesMax,
    node,
    cluster: {
      elsewhere: (...request) => turn.elsewhere(...request),
      whole: (...request) => turn.whole(...request),
      question: (...request) => turn.question(...request),
      isMine: (...keys) => turn.isMine(...keys),
      noteKeys: (...keys) => contents.noteKeys(...keys),
      release: () => turn.release(),
    },
    random01: Math.random,
    hashSecret: [randomInt(2 ** 32), randomInt(2 ** 32)],
    tiers: {
      node: name,
      log,
      deadlineMs: options.deadlineMs,
      bornMs,
      backends: new Backends({
        data: options.data,
        redis,
        clock,
        log,
        prefix,
        bornMs,
        slots: () => node.tenures(),
        outdo: (version) => node.outdo(version),
        holds: (slot) => node.holds(slot),
        mayWrite: () => node.holdsLease(),
      }),
      records: new NamespaceRecords(nats, {
        bucket: streamsFor(prefix).cacheNamespaces,
        replicas,
        node: name,
      }),
    },
    observe: requestObserver(announced, telemetry, clock),
  });
  const sharding = new Sharding({
    nats,
    subjects,
    clock,
    node,
    again: (arrived) => cache.take(arrived),
  });
  const refresh = (only?: string) => cache.tiers.refresh((one) => cache.namespaces.find(one), only);
  const operations = new ClusterOperations({
    node,
    own: {
      within: (namespace, act) => cache.within(namespace, act),
      has: (namespace) => cache.namespaces.find(namespace) !== undefined,
      allStats: () => cache.stats().namespaces,
      configure: (namespace, settings) => cache.configure(namespace, settings),
      refresh,
    },
    clock,
    ask: (one, question) => peers.ask(one, question),
    failed,
  });
  const turn = clusterTurn({ node, sharding, operations, failed });
  const questions: PeerQuestions = {
    give: (request) => node.give(request),
    answer: (question) => operations.answer(question as Parameters<typeof operations.answer>[0]),
    hear: (news) => node.hear(news),
    forwarded: (message, [hops = '', ...tokens]) => cache.hear(message, 'peer', tokens, Number(hops)),
  };
  const own = ownSubjects((id) => [peers.listenAs(id, questions), ...cache.listenAs(id)]);
  observeTotals(cache, telemetry);
  onReconnect(nats, () => {
    node.reconnected();
    // What was configured while this node was not connected it did not hear.
    void refresh().catch(failed);
  });
  return {
    recover: () => cache.recover(),
    serve: async () => {
      await refuseTwin(nats, subjects, name);
      peers.listen(questions);
      await node.start();
      await cache.tiers.opened();
      cache.begin();
      // The server has heard of the subscriptions before anybody hears that this node is ready.
      await nats.connection.flush();
      return {};
    },
    drain: async () => {
      isLeaving = true;
      announced.stop();
      await cache.drain();
      if (!(await node.leave(options.handOverMsMax, () => cache.settle())))
        log.warn('not everything was handed over in time: what was left is gone');
      cache.stop();
      // What waited here is sent on before the connection closes.
      await sleep(clock, 0);
      redis.close();
    },
  };
}

/** The subscriptions of one membership: those of the one before end with it. */
function ownSubjects(subscribe: (id: string) => readonly Subscription[]) {
  let open: readonly Subscription[] = [];
  const end = () => {
    // Drained, so that what is on its way is refused and not left without an answer. A closed connection has nothing.
    for (const subscription of open) subscription.drain().catch(() => {});
    open = [];
  };
  return {
    listen: (id: string) => {
      end();
      open = subscribe(id);
    },
    end,
  };
}

/**
 * A quota is divided among the nodes. Files shrink only once this node answers for all of its slots: while it comes back
 * to what it had, or fetches it, it has a smaller part than what it will need room for.
 */
function shareQuotas(cache: CacheService, node: ClusterNode): void {
  cache.namespaces.setShare(node.share);
  const { id } = node;
  const owned = id === undefined ? 0 : node.map.owners.filter((owner) => owner === id).length;
  cache.tiers.setShare(node.share, owned > 0 && node.heldSlots().length >= owned);
}
