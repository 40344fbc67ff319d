/**
 * Whose an item is: kept among its headers under a name that no caller may use, and believed on a subject alone that is
 * closed to all but the services (`trivet.queue-owned.<queue>.<operation>`).
 */
export const ownerHeader = 'Trivet-Owner';

/** Who says whose the items of a request are. */
export type Owners =
  /** Nobody may: they have no owner. */
  | 'none'
  /** Each item among its headers: a service has packed together what several callers asked for. */
  | 'each'
  /** The message, by its own header: all of them belong to one. */
  | { readonly all: string };

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
export const reservedHeader = (headers: Headers | undefined, owners: Owners): string | undefined =>
  headers === undefined
    ? undefined
    : Object.keys(headers).find(
        (name) => /^trivet-/i.test(name) && !(owners === 'each' && name === ownerHeader),
      );
