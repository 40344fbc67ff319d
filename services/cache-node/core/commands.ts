import type { StoredValue } from './entry.ts';

export interface SetCommand {
  readonly key: string;
  readonly value: StoredValue;
  /** Milliseconds; 0: it stays; undefined: the namespace's default. */
  readonly ttlMs: number | undefined;
  readonly sliding: boolean;
  /** Milliseconds; undefined: the namespace's default. */
  readonly graceMs: number | undefined;
  readonly tags: readonly string[];
  readonly condition: SetCondition;
  /** The right to fill the key, where the caller has it. */
  readonly loadToken: number | undefined;
}

export type SetCondition =
  | { readonly kind: 'always' }
  | { readonly kind: 'absent' }
  /** Version 0 stands for "absent". */
  | { readonly kind: 'version'; readonly version: number };

export interface IncrementCommand {
  readonly key: string;
  readonly by: number;
  readonly initial: number;
  readonly ttlMs: number | undefined;
}

export interface KeysCommand {
  readonly prefix: string;
  readonly limit: number;
  readonly cursor: string | undefined;
  /** Which of them, beside the prefix; all when left out. */
  readonly wanted?: (key: string) => boolean;
}

export interface LoadFailedCommand {
  readonly key: string;
  readonly loadToken: number;
  readonly message: string;
  /** How long the failure is remembered; 0: not at all. */
  readonly ttlMs: number;
}
