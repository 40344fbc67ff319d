import { fnv1a32 } from '#shared/protocol/partition.ts';
import type { RuleKind, TelemetryPipelines } from '#shared/protocol/telemetry-pipelines.ts';
import type { TelemetryLevel } from '#shared/protocol/telemetry-records.ts';
import type { AttributeValue, Attributes } from './attribute-values.ts';
import { type NameTest, nameTest } from './globs.ts';

export const redacted = '[redacted]';

type Tags = Readonly<Record<string, string | number | boolean>>;

/** What the rules say about the records of one source and kind. */
export interface Verdict {
  readonly level: TelemetryLevel;
  /** Share that is kept of what is no error. */
  readonly sample: number;
  /** Attributes for records that do not have them. */
  readonly extra: Tags | undefined;
}

// Sources are named by producers: what is remembered of them is bounded.
const verdictsMax = 2_000;

/** Levels, sampling, redaction and enrichment, as a configuration says. */
export class Rules {
  readonly #config: TelemetryPipelines;
  readonly #levelDefault: TelemetryLevel;
  readonly #verdicts = new Map<string, Verdict>();
  readonly #secrets: NameTest | undefined;
  readonly #patterns: readonly { readonly expression: RegExp; readonly with: string }[];

  /** @param config checked by `planOf`: every pattern compiles */
  constructor(config: TelemetryPipelines, levelDefault: TelemetryLevel) {
    this.#config = config;
    this.#levelDefault = levelDefault;
    const { attributes, patterns = [] } = config.redact ?? {};
    this.#secrets = attributes === undefined ? undefined : nameTest(attributes);
    this.#patterns = patterns.map((one) => ({
      expression: new RegExp(one.pattern, 'gu'),
      with: one.with ?? redacted,
    }));
  }

  verdict(source: string, kind: RuleKind): Verdict {
    const key = `${kind} ${source}`;
    const known = this.#verdicts.get(key);
    if (known !== undefined) return known;
    const made = this.#judge(source, kind);
    if (this.#verdicts.size >= verdictsMax) this.#verdicts.clear();
    this.#verdicts.set(key, made);
    return made;
  }

  get redacts(): boolean {
    return this.#secrets !== undefined || this.#patterns.length > 0;
  }

  /** True where nothing in the rules could change or leave out an item of an OTLP request. */
  get leavesOtlp(): boolean {
    const { rules = [], enrich = [] } = this.#config;
    const concerns = (kinds: readonly RuleKind[] | undefined) =>
      kinds === undefined || kinds.includes('otlp');
    return (
      !this.redacts &&
      this.#levelDefault === 'debug' &&
      !rules.some((one) => concerns(one.kinds)) &&
      !enrich.some((one) => concerns(one.kinds))
    );
  }

  /** Whether the value of an attribute or tag of this name must not leave. */
  isSecret(name: string): boolean {
    return this.#secrets?.(name) ?? false;
  }

  /** A text without what must not leave. */
  text(given: string): string {
    let text = given;
    for (const one of this.#patterns) text = text.replace(one.expression, one.with);
    return text;
  }

  attributes(given: Attributes): Attributes {
    if (!this.redacts) return given;
    const made = Object.create(null) as Record<string, AttributeValue>;
    for (const [name, value] of Object.entries(given)) made[name] = this.attribute(name, value);
    return made;
  }

  attribute(name: string, value: AttributeValue): AttributeValue {
    if (this.isSecret(name)) return redacted;
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value))
      return (value as readonly AttributeValue[]).map((one) => this.attribute('', one));
    if (typeof value === 'object' && !(value instanceof Uint8Array))
      return this.attributes(value as Attributes);
    return value;
  }

  /** The tags of a metric or an operation with what is added and without what must not leave. */
  tags(given: Tags | undefined, { extra }: Verdict): Tags | undefined {
    if (!this.redacts && extra === undefined) return given;
    const made: Record<string, string | number | boolean> = { ...extra, ...given };
    if (!this.redacts) return made;
    for (const [name, value] of Object.entries(made)) {
      if (this.isSecret(name)) made[name] = redacted;
      else if (typeof value === 'string') made[name] = this.text(value);
    }
    return made;
  }

  #judge(source: string, kind: RuleKind): Verdict {
    const { rules = [], enrich = [] } = this.#config;
    const fits = (one: { readonly sources?: readonly string[]; readonly kinds?: readonly RuleKind[] }) =>
      (one.kinds === undefined || one.kinds.includes(kind)) && nameTest(one.sources)(source);
    const own = rules.filter(fits);
    const extra = enrich.filter(fits).map((one) => one.attributes);
    return {
      level: own.find((one) => one.level !== undefined)?.level ?? this.#levelDefault,
      sample: own.find((one) => one.sample !== undefined)?.sample ?? 1,
      // The first one that says something counts here, too.
      extra: extra.length === 0 ? undefined : (Object.assign({}, ...extra.reverse()) as Tags),
    };
  }
}

/**
 * Whether one of many is kept. The same for every record of a trace, in every collector and however often it comes:
 * by the random bits of the trace id (OpenTelemetry, "TraceState: Probability Sampling"; a number holds 52 of the 56), else by
 * the record's place in the stream.
 */
export function isSampled(
  share: number,
  traceId: string | undefined,
  sequence: number,
  index: number,
): boolean {
  if (share >= 1) return true;
  if (traceId !== undefined) return Number.parseInt(traceId.slice(-13), 16) / 2 ** 52 >= 1 - share;
  return mixed(fnv1a32(`${sequence}:${index}`)) / 2 ** 32 < share;
}

/** The last step of MurmurHash3 (Appleby): FNV alone leaves neighbours close to each other. */
function mixed(hash: number): number {
  let mixing = hash;
  mixing = Math.imul(mixing ^ (mixing >>> 16), 0x85eb_ca6b);
  mixing = Math.imul(mixing ^ (mixing >>> 13), 0xc2b2_ae35);
  return (mixing ^ (mixing >>> 16)) >>> 0;
}
