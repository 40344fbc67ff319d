import type { InvalidateTagsRequest, KeysRequest, MissedRequest } from '#shared/protocol/cache-schemas.ts';
import { slotsOf } from '#shared/protocol/cache-slots.ts';
import { type Result, notDone, refuse } from '#shared/protocol/errors.ts';
import type { Msg } from '#shared/runtime/nats.ts';
import { type RequestEncodings, replyRefusal, replyValue } from '#shared/runtime/replies.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { ClusterOperations } from './cluster-operations.ts';
import { publicMap } from './core/node-map-text.ts';
import type { Decided, Request } from './operations.ts';
import type { Arrived, Sharding } from './sharding.ts';

/** The other nodes, as the turn of this one meets them. */
export interface ClusterTurn {
  /** As `Sharding.elsewhere`. */
  elsewhere(arrived: Arrived, keys: readonly string[], body: unknown): Decided | undefined;
  /** Answers a request about a whole namespace; undefined as above. */
  whole(arrived: Arrived, body: unknown, request: Request): Decided | undefined;
  /** Answers a question about the cache as such. */
  question(message: Msg, encodings: RequestEncodings, kind: 'stats' | 'map'): void;
  /** Whether this node still answers for all of these keys. */
  isMine(namespace: string, keys: readonly string[]): boolean;
  /** Keys were asked for, and perhaps made. */
  noteKeys(namespace: string, keys: readonly string[]): void;
  /** Looks again at what waits for keys that move. */
  release(): void;
}

/** Operations that are about no key of their own. */
export const wholeOperations: ReadonlySet<string> = new Set([
  'clear',
  'invalidate-tags',
  'keys',
  'stats',
  'configure',
  'missed',
]);

export interface ClusterTurnParts {
  readonly node: ClusterNode;
  readonly sharding: Sharding;
  readonly operations: ClusterOperations;
  readonly failed: (error: unknown) => void;
}

/** What of a request's turn is the cluster's: keys of other nodes, and operations on all of them. */
export function clusterTurn(parts: ClusterTurnParts): Omit<ClusterTurn, 'noteKeys'> {
  const { node, sharding, operations, failed } = parts;

  async function reply(message: Msg, encodings: RequestEncodings, answer: Promise<Result<unknown>>) {
    try {
      const result = await answer;
      if (result.ok) replyValue(message, result.value, encodings.reply);
      else replyRefusal(message, result.error, encodings.reply);
    } catch (error) {
      failed(error);
      replyRefusal(message, refuse('internal', 'the nodes could not be asked').error, encodings.reply);
    }
  }

  function onAll(
    { namespace, operation }: Arrived,
    body: unknown,
    request: Request,
  ): Promise<Result<unknown>> {
    switch (operation) {
      case 'clear':
        return operations.clear(namespace);
      case 'invalidate-tags':
        return operations.invalidateTags(namespace, (body as InvalidateTagsRequest).tags);
      case 'keys':
        return operations.keys(namespace, body as KeysRequest);
      case 'configure':
        return operations.configure(namespace, request.settings ?? {});
      default:
        return operations.stats(namespace);
    }
  }

  return {
    release: () => sharding.release(),
    isMine: (namespace, keys) => {
      const slotOf = slotsOf(namespace);
      return keys.every((key) => node.routeOf(slotOf(key)).kind === 'serve');
    },
    elsewhere: (arrived, keys, body) => sharding.elsewhere(arrived, keys, body),
    whole: (arrived, body, request): Decided | undefined => {
      if (node.id === undefined) return notIn;
      if (arrived.operation === 'missed') {
        // An epoch is of one node, whose id it begins with.
        const [source = ''] = (body as MissedRequest).epoch.split('.');
        const isThere = source !== node.id && node.map.nodes.some(({ id }) => id === source);
        return isThere && arrived.via !== 'peer' ? sharding.forward(arrived, source) : undefined;
      }
      void reply(arrived.message, arrived.encodings, onAll(arrived, body, request));
      return 'later';
    },
    question: (message, encodings, kind) => {
      if (kind === 'map') replyValue(message, publicMap(node.map), encodings.reply);
      else void reply(message, encodings, operations.clusterStats());
    },
  };
}

const notIn = refuse('unavailable', 'this node is not one of the cluster just now', notDone).error;
