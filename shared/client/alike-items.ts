/**
 * Reads `{"items":[…]}` whose items differ in nothing but their ids, which come first: of new items nearly every reply
 * is like that, and to compare is several times faster than to parse.
 * @param make makes an item of its id and of what is the same in all of them, as the first one says it
 * @returns undefined where they differ in more, or are written in another way: that is to be parsed
 */
export function readAlikeItems<Item>(
  text: string,
  make: (id: string, like: Readonly<Record<string, unknown>>) => Item,
): readonly Item[] | undefined {
  let at = listHead.length;
  const like = text.startsWith(listHead) ? flatObjectAt(text, at) : undefined;
  if (like === undefined) return undefined;
  const items: Item[] = [];
  for (;;) {
    const idEnd = text.startsWith(itemHead, at) ? text.indexOf('"', at + itemHead.length) : -1;
    if (idEnd < 0 || !text.startsWith(like.rest, idEnd)) return undefined;
    const id = text.slice(at + itemHead.length, idEnd);
    if (id.includes('\\')) return undefined;
    items.push(make(id, like.value));
    at = idEnd + like.rest.length;
    if (text.charCodeAt(at) !== comma) break;
    at += 1;
  }
  return text.startsWith(']}', at) && text.length === at + 2 ? items : undefined;
}

const listHead = '{"items":[';
const itemHead = '{"id":"';
const comma = 44;

/** The object that begins there, and its text from the end of the id on; undefined when it holds other objects. */
function flatObjectAt(text: string, at: number) {
  const end = text.indexOf('}', at) + 1;
  const idEnd = text.indexOf('"', at + itemHead.length);
  if (end === 0 || idEnd < 0 || idEnd >= end) return undefined;
  try {
    return {
      value: JSON.parse(text.slice(at, end)) as Readonly<Record<string, unknown>>,
      rest: text.slice(idEnd, end),
    };
  } catch {
    // A brace within a text, or an object within the object.
    return undefined;
  }
}
