import type { Refusal } from '#shared/protocol/errors.ts';

const place = /^items\[[0-9]+\]\.?/;

/**
 * What was refused of one item, in that item's own words: where it stood in the message that it shared with others is
 * nothing that its caller knows. `items[3].priority` is `priority`, `items[3]` is `item`.
 */
export function withoutPlace(refusal: Refusal): Refusal {
  const field = refusal.details?.['field'];
  if (typeof field !== 'string' || !place.test(field)) return refusal;
  const own = field.replace(place, '') || 'item';
  const message = refusal.message.startsWith(field)
    ? `${own}${refusal.message.slice(field.length)}`
    : refusal.message;
  return { ...refusal, message, details: { ...refusal.details, field: own } };
}
