/**
 * Whose an item is: kept among its headers under a name that no caller may use, and believed on a subject alone that is
 * closed to all but the services (`trivet.queue-owned.<queue>.enqueue-many`).
 */
export const ownerHeader = 'Trivet-Owner';

type Headers = Readonly<Record<string, string>>;

/** The owner among an item's headers, and the headers that are its own. */
export function splitOwner(headers: Headers | undefined): {
  readonly owner: string | undefined;
  readonly headers: Headers | undefined;
} {
  const owner = headers?.[ownerHeader];
  if (headers === undefined || owner === undefined) return { owner: undefined, headers };
  const rest = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== ownerHeader));
  return { owner, headers: Object.keys(rest).length === 0 ? undefined : rest };
}

/** A header of ours that this caller may not set, or undefined where there is none. */
export const reservedHeader = (headers: Headers | undefined, isOwned: boolean): string | undefined =>
  headers === undefined
    ? undefined
    : Object.keys(headers).find((name) => /^trivet-/i.test(name) && !(isOwned && name === ownerHeader));
