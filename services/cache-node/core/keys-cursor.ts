import { textHash } from '#shared/protocol/cache-slots.ts';
import { SlotSet } from './slot-set.ts';

/** Where a listing of keys over several nodes stands. */
export interface KeysCursor {
  /** Slots whose keys have all been listed. */
  readonly done: SlotSet;
  /** The node that is being listed; undefined between two of them. */
  readonly at?: {
    readonly node: string;
    /** The slots that it had when its listing began: only their keys are listed. */
    readonly slots: SlotSet;
    /** The serial of the map then: a slot that it got later is another listing's. */
    readonly serial: number;
    /** Where the node's own listing goes on. */
    readonly cursor: string;
  };
}

export const firstCursor = (): KeysCursor => ({ done: new SlotSet() });

/** What a cursor is about: it leads on in this listing, and in no other. */
export interface Listing {
  readonly namespace: string;
  readonly prefix: string;
}

export function writeCursor({ done, at }: KeysCursor, listing: Listing): string {
  const parts = at === undefined ? [] : [at.node, at.slots.write(), at.serial.toString(36), at.cursor];
  const text = [done.write(), ...parts].join('.');
  return `${checkOf(text, listing)}.${text}`;
}

/** Undefined for a text that `writeCursor` did not make for this listing. */
export function readCursor(text: string, listing: Listing): KeysCursor | undefined {
  const checkEnd = text.indexOf('.');
  const rest = text.slice(checkEnd + 1);
  if (checkEnd < 0 || text.slice(0, checkEnd) !== checkOf(rest, listing)) return undefined;
  const [doneText = '', node, slotsText, serialText, cursor, ...more] = rest.split('.');
  const done = SlotSet.read(doneText);
  if (done === undefined || more.length > 0) return undefined;
  if (node === undefined) return { done };
  const slots = slotsText === undefined ? undefined : SlotSet.read(slotsText);
  const serial = Number.parseInt(serialText ?? '', 36);
  if (slots === undefined || !Number.isSafeInteger(serial) || cursor === undefined) return undefined;
  return { done, at: { node, slots, serial, cursor } };
}

const checkOf = (text: string, { namespace, prefix }: Listing): string =>
  textHash(`${namespace}.${prefix}.${text}`).toString(36);
