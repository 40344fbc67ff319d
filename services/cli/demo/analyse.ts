import { dirname, resolve } from 'node:path';

/** What a Markdown text holds, wherever it lies: what is kept in the cache, by the hash of the text. */
export interface Reading {
  readonly words: number;
  readonly links: number;
  /** Targets of relative links. */
  readonly relative: readonly string[];
}

/** What the demo finds out about one file. The same text in another folder may have other broken links. */
export interface Analysis {
  readonly words: number;
  readonly links: number;
  /** Relative links that lead nowhere. */
  readonly broken: readonly string[];
}

const linkExpression = /\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)/g;
const schemeExpression = /^([a-z][a-z0-9+.-]*:|\/\/|#)/i;

/** Counts words and links. Pure, O(length). */
export function read(text: string): Reading {
  const targets = [...text.matchAll(linkExpression)].map((match) => match[1] ?? '');
  return {
    words: text.match(/\p{L}[\p{L}\p{N}'’-]*/gu)?.length ?? 0,
    links: targets.length,
    relative: targets.filter((target) => !schemeExpression.test(target)),
  };
}

/**
 * Looks up the relative links of a text that lies in `file`.
 * @param exists asked once for each relative link
 */
export function checkLinks(reading: Reading, file: string, exists: (path: string) => boolean): Analysis {
  const { words, links, relative } = reading;
  const broken = relative.filter((target) => !exists(resolve(dirname(file), pathOf(target))));
  return { words, links, broken };
}

/** The path of a link: without fragment and query, decoded where that is possible. */
function pathOf(target: string): string {
  const path = target.replace(/[#?].*$/, '');
  try {
    return decodeURIComponent(path);
  } catch {
    // A stray per cent sign is part of the name.
    return path;
  }
}
