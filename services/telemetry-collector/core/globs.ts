/** Whether a name fits one of several patterns in which `*` stands for any characters. */
export type NameTest = (name: string) => boolean;

/** @param globs undefined fits everything */
export function nameTest(globs: readonly string[] | undefined): NameTest {
  if (globs === undefined) return () => true;
  const exact = new Set(globs.filter((glob) => !glob.includes('*')));
  const patterns = globs.filter((glob) => glob.includes('*')).map((glob) => glob.split('*'));
  if (patterns.some((parts) => parts.every((part) => part === ''))) return () => true;
  return (name) => exact.has(name) || patterns.some((parts) => fits(name, parts));
}

/** The pieces between the stars must come one after the other; no backtracking, O(length of the name · pieces). */
function fits(name: string, parts: readonly string[]): boolean {
  const [first = '', ...others] = parts;
  const last = others.pop() ?? '';
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length)
    return false;
  let at = first.length;
  for (const part of others) {
    const found = name.indexOf(part, at);
    if (found < 0 || found + part.length > name.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}
