/** What the variable says; an empty one says nothing, as in every setting of a service. */
export function environmentOr(name: string, fallback: string): string {
  const said = process.env[name] ?? '';
  return said === '' ? fallback : said;
}
