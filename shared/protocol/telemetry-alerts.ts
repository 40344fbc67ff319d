import { type Static, Type } from 'typebox';
import { Duration, Name, Strict, Tags, Word } from './fields.ts';
import { instrumentNameLengthMax, tagLengthMax } from './limits.ts';

const Instrument = Type.String({ minLength: 1, maxLength: instrumentNameLengthMax });

/** What an alert is judged by. */
export const alertStats = ['value', 'rate', 'p50', 'p95', 'p99', 'success-rate'] as const;

/**
 * One threshold. Exactly one of `metric`, `operation` and `errors`, and exactly one of `above` and `below`.
 * Rates are per second, over `window`; percentiles and success rates are of what came within it.
 */
export const AlertRule = Strict({
  name: Name,
  metric: Type.Optional(Instrument),
  operation: Type.Optional(Instrument),
  /** Error records of any kind. */
  errors: Type.Optional(Type.Literal(true)),
  source: Type.Optional(Type.String({ minLength: 1, maxLength: tagLengthMax })),
  /** Series must have these. */
  tags: Type.Optional(Tags),
  stat: Word(alertStats),
  window: Type.Optional(Duration),
  above: Type.Optional(Type.Number()),
  below: Type.Optional(Type.Number()),
  /** How long it must last before the alert fires. */
  for: Type.Optional(Duration),
  /** Called when it fires and when it resolves; its origin must be allowed by the configuration. */
  webhook: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
});
export type AlertRule = Static<typeof AlertRule>;

export const alertRulesMax = 200;

/** What goes out when an alert fires and when it resolves, over NATS and to its webhook. */
export const AlertNotice = Type.Object({
  alert: Type.String(),
  state: Word(['firing', 'resolved'] as const),
  at: Type.String(),
  value: Type.Optional(Type.Number()),
  above: Type.Optional(Type.Number()),
  below: Type.Optional(Type.Number()),
  stat: Word(alertStats),
});
export type AlertNotice = Static<typeof AlertNotice>;
