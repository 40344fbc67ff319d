import type { Replaced, Updated } from './facts.ts';
import type { Item } from './item.ts';
import type { ItemTable } from './item-table.ts';
import { inlineBytesMax } from './new-item.ts';
import type { Overlay } from './overlay.ts';

/** An edit of a waiting item: `updated` changes what it names, `replaced` everything but place, group and key. */
export type Edit = Updated | Replaced;

/** Applies an edit. That the item waits was decided before. */
export function applyEdit(items: ItemTable, overlay: Overlay, edit: Edit, at: number): void {
  const { order, band, content, runAt } = edit;
  // Another band is another line: there it begins at the end.
  if (band !== undefined && band !== items.known(order).band) items.reprioritize(order, band);
  const before = items.known(order);
  const edited = edit.kind === 'updated' ? updated(before, edit) : replaced(before, edit);
  const after = content === undefined ? edited : { ...edited, fields: items.fieldsOf(before.queue, content) };
  if (content !== undefined) {
    overlay.edited(order);
    const ownRow = content.payload.length > inlineBytesMax;
    if (ownRow) overlay.putPayload(order, content.payload);
    else if (before.inline === undefined) overlay.putPayload(order, null);
  }
  // A blocked item's time is only noted: it counts once nothing blocks it any more.
  const blocked = before.state === 'blocked';
  items.edit(before, blocked && runAt !== undefined ? { ...after, runAt: future(runAt, at) } : after);
  if (runAt !== undefined && !blocked) items.step(order, 'RESCHEDULE', { at, why: 'rescheduled', runAt });
}

const updated = (item: Item, edit: Updated): Item => ({
  ...(edit.content === undefined ? item : withContent(item, edit.content)),
  attemptsMax: edit.attemptsMax ?? item.attemptsMax,
  backoff: edit.backoff ?? item.backoff,
  timeoutMs: edit.timeoutMs ?? item.timeoutMs,
  expiresAt: edit.expiresAt ?? item.expiresAt,
});

const replaced = (item: Item, edit: Replaced): Item => ({
  ...withContent(item, edit.content),
  attemptsMax: edit.attemptsMax,
  backoff: edit.backoff,
  timeoutMs: edit.timeoutMs,
  expiresAt: edit.expiresAt,
  headers: edit.headers,
});

const withContent = (item: Item, { payload, payloadIsJson, contentType }: Replaced['content']): Item => ({
  ...item,
  contentType,
  payloadIsJson,
  payloadBytes: payload.length,
  inline: payload.length <= inlineBytesMax ? payload : undefined,
});

const future = (runAt: number, at: number): number | undefined => (runAt > at ? runAt : undefined);
