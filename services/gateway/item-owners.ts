import { requestReply } from '#shared/client/request.ts';
import { type Result, accept } from '#shared/protocol/errors.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Nats } from '#shared/runtime/nats.ts';

/** Asks the queue whose an item is. */
export const itemOwners =
  (nats: Nats, subjects: Subjects) =>
  async (queue: string, itemId: string): Promise<Result<string | undefined>> => {
    const reply = await requestReply(nats, subjects.queue(queue, 'get'), { id: itemId });
    if (!reply.ok) return reply;
    const { owner } = reply.value as { readonly owner?: unknown };
    return accept(typeof owner === 'string' ? owner : undefined);
  };
