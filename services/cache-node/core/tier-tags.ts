import { cacheTagsMax } from '#shared/protocol/limits.ts';

/**
 * When each tag of a namespace was invalidated last. Memory forgets tags that none of its entries has; what lies in a
 * backend may have them all the same.
 */
export class TierTags {
  readonly #versions = new Map<string, number>();

  /** False when there are more than it may hold: then what lies in the backend can no longer be judged. */
  add(tag: string, version: number): boolean {
    this.#versions.set(tag, Math.max(version, this.#versions.get(tag) ?? 0));
    return this.#versions.size <= cacheTagsMax;
  }

  /** Nothing is left that was there before. */
  clear(): void {
    this.#versions.clear();
  }

  isInvalidated({ tags, version }: { readonly tags: readonly string[]; readonly version: number }): boolean {
    return tags.some((tag) => (this.#versions.get(tag) ?? 0) > version);
  }
}
