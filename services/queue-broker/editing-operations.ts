import { type Refusal, type Result, accept } from '#shared/protocol/errors.ts';
import { type Update } from '#shared/protocol/queue-more-schemas.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { type UpdateRequest, decideUpdate } from './core/edit-decisions.ts';
import { readItemOptions } from './core/item-options.ts';
import { itemBytes } from './log-bytes.ts';
import { valuePayload } from './payload.ts';
import type { QueueRequest } from './queue-request.ts';

const checkUpdate = validator(queueRequests.update);

/** What changes an item that waits. */
export const editingOperations = { update };

function update(request: QueueRequest, body: unknown): Refusal | undefined {
  const checked = checkUpdate(body);
  const read = checked.ok ? readUpdate(request, checked.value) : checked;
  if (!read.ok) return read.error;
  const { partition, queue, caller } = request;
  const { content } = read.value;
  partition.submit({
    bytes: itemBytes + (content?.payload.length ?? 0),
    // A new payload takes the room of a new item; everything else is a word or two.
    room: content === undefined ? 'always' : 'new-items',
    decide: (turn) => {
      const decided = decideUpdate(turn, queue, read.value);
      return () => (decided.ok ? caller.value(decided.value) : caller.refuse(decided.error));
    },
    refuse: caller.refuse,
  });
  return undefined;
}

function readUpdate(request: QueueRequest, { id, payload, ...given }: Update): Result<UpdateRequest> {
  const read = readItemOptions(given);
  if (!read.ok) return read;
  const { band, ...rest } = read.value;
  const options = given.priority === undefined ? rest : { band, ...rest };
  if (payload === undefined) return accept({ id, options });
  const content = valuePayload(payload, request.encodings.request);
  return content.ok ? accept({ id, options, content: content.value }) : content;
}
