/** A cursor of pages that are in the order of keys: the next key, in characters that are safe in any text. */
export const keyCursor = (key: string | Buffer): string =>
  (typeof key === 'string' ? Buffer.from(key) : key).toString('base64url');

/** The key of the cursor, or undefined when it is none of ours. */
export function readKeyCursor(cursor: string): Buffer | undefined {
  const bytes = Buffer.from(cursor, 'base64url');
  return bytes.byteLength > 0 && bytes.toString('base64url') === cursor ? bytes : undefined;
}
