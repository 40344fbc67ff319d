/** One value of a line, as a metric record. */
export interface StatsdRecord {
  readonly name: string;
  readonly value: number;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly unit?: string;
  readonly source: string;
  readonly tags?: Readonly<Record<string, string>>;
}

/** What a line says; a gauge may be said as a change of what it was. */
export type StatsdLine =
  | { readonly kind: 'records'; readonly records: readonly StatsdRecord[] }
  | { readonly kind: 'change'; readonly record: StatsdRecord }
  | { readonly kind: 'bad'; readonly problem: string };

// A sampled timing stands for several; a line that stands for more values than this would be an attack.
const valuesMax = 10_000;
const nameLengthMax = 255;
const tagLengthMax = 256;
const tagsMax = 64;

/**
 * Reads one line of StatsD: `name:value|type[|@rate][|#tag:value,…]`, with several values (`name:1:2|ms`) and tags as
 * DogStatsD has them. Counters are divided by their rate; timings and histograms of a rate count several times.
 * Source: github.com/statsd/statsd, docs/metric_types.md; DogStatsD's protocol, v1.1.
 * @param sourceDefault the source of a line without a tag `source` or `service`
 */
export function readStatsd(line: string, sourceDefault: string): StatsdLine {
  const [head = '', type = '', ...options] = line.split('|');
  const colon = head.indexOf(':');
  const name = head.slice(0, Math.max(0, colon));
  if (name === '' || name.length > nameLengthMax)
    return bad('a line begins with a name of 1 to 255 characters and a colon');
  const texts = head.slice(colon + 1).split(':');
  const values = texts.map((text) =>
    /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN,
  );
  if (values.some((value) => !Number.isFinite(value)))
    return bad(`${head.slice(colon + 1, colon + 40)} is no number`);
  const rate = Number(options.find((one) => one.startsWith('@'))?.slice(1) ?? 1);
  if (!(rate > 0 && rate <= 1)) return bad('a sample rate is more than 0 and at most 1');
  const { tags, source } = tagsOf(options.find((one) => one.startsWith('#'))?.slice(1), sourceDefault);
  if (Object.keys(tags).length > tagsMax) return bad(`a line has at most ${tagsMax} tags`);
  const base = { name, source, ...(Object.keys(tags).length === 0 ? {} : { tags }) };
  const all = (make: (value: number) => readonly StatsdRecord[]): StatsdLine => ({
    kind: 'records',
    records: values.flatMap(make),
  });
  const isCopied = type === 'ms' || type === 'h' || type === 'd';
  const copies = isCopied ? Math.max(1, Math.round(1 / rate)) : 1;
  if (values.length * copies > valuesMax)
    return bad(`a line stands for at most ${valuesMax} values, by its rate`);
  switch (type) {
    case 'c':
      if (values.some((value) => value < 0)) return bad('a counter only grows');
      return all((value) => [{ ...base, type: 'counter', value: value / rate }]);
    case 'g':
      if (texts.length === 1 && /^[+-]/.test(texts[0] ?? ''))
        return { kind: 'change', record: { ...base, type: 'gauge', value: values[0] ?? 0 } };
      return all((value) => [{ ...base, type: 'gauge', value }]);
    case 'ms':
      return all((value) =>
        Array.from({ length: copies }, () => ({ ...base, type: 'histogram', unit: 'ms', value })),
      );
    case 'h':
    case 'd':
      return all((value) => Array.from({ length: copies }, () => ({ ...base, type: 'histogram', value })));
    case 's':
      return bad('sets are not counted here');
    default:
      return bad(`${type.slice(0, 40)} is no type`);
  }
}

const bad = (problem: string): StatsdLine => ({ kind: 'bad', problem });

function tagsOf(text: string | undefined, sourceDefault: string) {
  const tags: Record<string, string> = {};
  let source = sourceDefault;
  for (const one of text?.split(',') ?? []) {
    if (one === '') continue;
    const colon = one.indexOf(':');
    const name = (colon < 0 ? one : one.slice(0, colon)).slice(0, tagLengthMax);
    const value = (colon < 0 ? 'true' : one.slice(colon + 1)).slice(0, tagLengthMax);
    if ((name === 'source' || name === 'service') && value !== '') source = value;
    else if (name !== '' && name !== '__proto__') tags[name] = value;
  }
  return { tags, source };
}
