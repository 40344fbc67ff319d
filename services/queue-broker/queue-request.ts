import type { Refusal, Result } from '#shared/protocol/errors.ts';
import type { Owners } from '#shared/protocol/owner.ts';
import type { Msg } from '#shared/runtime/nats.ts';
import type { RequestEncodings } from '#shared/runtime/replies.ts';
import type { Turn } from './core/turn.ts';
import type { FlowCourier } from './flow-courier.ts';
import type { Partition } from './partition.ts';
import type { QueueStatistics } from './queue-statistics.ts';
import * as works from './queue-works.ts';
import type { Room } from './work.ts';
import type { WorkerRegistry } from './worker-registry.ts';

/** One request on its way: what came, how to answer, and to whom it belongs. */
export interface QueueRequest {
  readonly message: Msg;
  readonly queue: string;
  /** Whose the items are that it brings. */
  readonly owners: Owners;
  readonly encodings: RequestEncodings;
  readonly caller: works.Caller;
  readonly partition: Partition;
}

/** What operations need beside the request. */
export interface OperationContext {
  readonly statistics: QueueStatistics;
  readonly workers: WorkerRegistry;
  readonly courier: FlowCourier;
}

/** Takes a request in, with its decoded body (`{}` for none), or says why not. */
export type Operation = (
  request: QueueRequest,
  body: unknown,
  context: OperationContext,
) => Refusal | undefined;

/** A question or an administrative act: one answer, made within the turn. */
export function submitPlain<Q>(
  request: QueueRequest,
  query: Result<Q>,
  decide: (turn: Turn, query: Q) => Result<unknown>,
  room?: Room,
): Refusal | undefined {
  if (!query.ok) return query.error;
  request.partition.submit(works.plainWork(request.caller, (turn) => decide(turn, query.value), room));
  return undefined;
}
