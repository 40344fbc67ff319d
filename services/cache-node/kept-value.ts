import type { StoredValue } from './core/entry.ts';

/** A value of a set that was left as it came in. A class, so that nothing that a caller sends can pass for one. */
export class KeptValue {
  /** Its bytes are a view of the message. */
  readonly stored: StoredValue;

  constructor(stored: StoredValue) {
    this.stored = stored;
  }
}
