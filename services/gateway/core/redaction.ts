/** The longest text that the audit keeps of what a stranger may make up, in characters. */
const lengthMax = 256;

/** API keys and JWTs, wherever they stand: names of queues and subjects have room for them. */
const credentials = [
  [/trv_[0-9a-f]{16}_[\w-]+/gi, 'trv_…'],
  [/eyJ[\w-]{8,}(?:\.[\w-]*){0,2}/g, 'eyJ…'],
] as const;

/** What the audit may show of a name that somebody else chose: no credential in it, and not too much of it. */
export function shownInAudit(text: string): string {
  const redacted = credentials.reduce((rest, [shape, mark]) => rest.replaceAll(shape, mark), text);
  return redacted.length <= lengthMax ? redacted : `${redacted.slice(0, lengthMax)}…`;
}
