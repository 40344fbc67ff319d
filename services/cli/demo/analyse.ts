import { dirname, resolve } from 'node:path';

/** What the demo finds out about one Markdown file. */
export interface Analysis {
  readonly words: number;
  readonly links: number;
  /** Relative links that lead nowhere. */
  readonly broken: readonly string[];
}

const linkExpression = /\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)/g;
const schemeExpression = /^([a-z][a-z0-9+.-]*:|\/\/|#)/i;

/**
 * Counts words and checks relative links. Pure but for `exists`, which is asked once for each relative link.
 * @param text  a Markdown document
 * @param file  its path, from which relative links are resolved
 */
export function analyse(text: string, file: string, exists: (path: string) => boolean): Analysis {
  const targets = [...text.matchAll(linkExpression)].map((match) => match[1] ?? '');
  const relative = targets.filter((target) => !schemeExpression.test(target));
  const broken = relative.filter((target) => !exists(resolve(dirname(file), pathOf(target))));
  return { words: text.match(/\p{L}[\p{L}\p{N}'’-]*/gu)?.length ?? 0, links: targets.length, broken };
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
