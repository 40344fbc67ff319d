/** A part of a text or of bytes: from `start`, up to and without `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

// Where the parts of a JSON text stand. The text must be valid: it has been parsed before it comes here.

/** The members of the object that begins at or after `start`, in order; none when something else begins there. */
export function* jsonMembers(text: string, start: number): Iterable<Span & { readonly name: string }> {
  let at = skipBlanks(text, start);
  if (text[at] !== '{') return;
  at = skipBlanks(text, at + 1);
  while (text[at] === '"') {
    const nameEnd = skipString(text, at);
    const name = JSON.parse(text.slice(at, nameEnd)) as string;
    const valueStart = skipBlanks(text, skipBlanks(text, nameEnd) + 1);
    const end = skipValue(text, valueStart);
    yield { name, start: valueStart, end };
    at = skipSeparator(text, end);
  }
}

/** The elements of the array that begins at or after `start`, in order; none when something else begins there. */
export function* jsonElements(text: string, start: number): Iterable<Span> {
  let at = skipBlanks(text, start);
  if (text[at] !== '[') return;
  at = skipBlanks(text, at + 1);
  while (at < text.length && text[at] !== ']') {
    const end = skipValue(text, at);
    yield { start: at, end };
    at = skipSeparator(text, end);
  }
}

const [quote, backslash, openList, closeList, openObject, closeObject] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

function skipValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === quote) return skipString(text, start);
  if (first !== openList && first !== openObject) return skipWord(text, start);
  let depth = 0;
  let at = start;
  do {
    const code = text.charCodeAt(at);
    if (code === openList || code === openObject) depth += 1;
    if (code === closeList || code === closeObject) depth -= 1;
    at = code === quote ? skipString(text, at) : at + 1;
  } while (depth > 0 && at < text.length);
  return at;
}

/** Past the string that begins with the quote at `start`. */
function skipString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === quote) return at + 1;
    at += code === backslash ? 2 : 1;
  }
  return at;
}

/** Past a number, true, false or null. */
function skipWord(text: string, start: number): number {
  let at = start;
  while (at < text.length && !' \t\n\r,]}'.includes(text.charAt(at))) at += 1;
  return at;
}

function skipSeparator(text: string, start: number): number {
  const at = skipBlanks(text, start);
  return text[at] === ',' ? skipBlanks(text, at + 1) : at;
}

/** A byte order mark is skipped where the decoder skipped it: a valid text has it at its beginning or inside strings. */
function skipBlanks(text: string, start: number): number {
  let at = start;
  while (at < text.length && ' \t\n\r\ufeff'.includes(text.charAt(at))) at += 1;
  return at;
}
