import { decode, encode } from '#shared/protocol/encoding.ts';
import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import {
  type TelemetryQueryName,
  isTelemetryQuery,
  telemetryQueries,
} from '#shared/protocol/telemetry-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Msg, type Nats, type Subscription, subscribe } from '#shared/runtime/nats.ts';
import { replyBytes, replyRefusal, requestEncodings } from '#shared/runtime/replies.ts';
import type { AnnouncedService } from '#shared/runtime/service-protocol.ts';
import type { Answers } from './answers.ts';

/** Every collector may answer; one does. */
export const queueGroup = 'trivet-telemetry';

/** The endpoint's name in the NATS service protocol. */
export const endpointName = 'query';

const valid = {
  stats: validator(telemetryQueries.stats),
  series: validator(telemetryQueries.series),
  events: validator(telemetryQueries.events),
  errors: validator(telemetryQueries.errors),
  logs: validator(telemetryQueries.logs),
  operations: validator(telemetryQueries.operations),
  prometheus: validator(telemetryQueries.prometheus),
};

export interface QueriesOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly answers: Answers;
  readonly announced: AnnouncedService;
  readonly clock: Clock;
}

/** Answers `trivet.telemetry-query.<query>` until the subscription ends. */
export const serveQueries = (options: QueriesOptions): Subscription =>
  subscribe(options.nats, options.subjects.telemetryQueryAll, { queue: queueGroup }, (message) => {
    const startedMs = options.clock.monotonicMs();
    const error = serveOne(options.answers, message);
    options.announced.figures(endpointName).count(startedMs, options.clock.monotonicMs(), error);
  });

/** @returns the code of the error that was answered, if one was */
function serveOne(answers: Answers, message: Msg): string | undefined {
  const encodings = requestEncodings(message);
  if (!encodings.ok) {
    replyRefusal(message, encodings.error);
    return encodings.error.code;
  }
  const { request, reply } = encodings.value;
  const query = message.subject.slice(message.subject.lastIndexOf('.') + 1);
  const body = decode(message.data, request);
  const answer = body.ok ? answerTo(answers, query, body.value ?? {}) : body;
  if (!answer.ok) {
    replyRefusal(message, answer.error, reply);
    return answer.error.code;
  }
  replyBytes(message, encode(answer.value, reply), reply);
  return undefined;
}

function answerTo(answers: Answers, query: string, body: unknown): Result<object> {
  if (!isTelemetryQuery(query)) {
    return refuse(
      'not_found',
      `there is no query ${query}; there are ${Object.keys(telemetryQueries).join(', ')}`,
    );
  }
  const asked: Readonly<Record<TelemetryQueryName, () => Result<object>>> = {
    stats: () => answered(valid.stats(body), () => accept(answers.stats())),
    series: () => answered(valid.series(body), (given) => accept(answers.series(given))),
    events: () => answered(valid.events(body), (given) => answers.events(given)),
    errors: () => answered(valid.errors(body), (given) => answers.errors(given)),
    logs: () => answered(valid.logs(body), (given) => answers.logs(given)),
    operations: () => answered(valid.operations(body), (given) => accept(answers.operations(given))),
    prometheus: () => answered(valid.prometheus(body), () => accept(answers.prometheus('text'))),
  };
  return asked[query]();
}

const answered = <Q>(checked: Result<Q>, answer: (query: Q) => Result<object>): Result<object> =>
  checked.ok ? answer(checked.value) : checked;
