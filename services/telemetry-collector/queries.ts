import { decode, encode } from '#shared/protocol/encoding.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import {
  type TailQuery,
  type TelemetryQueryName,
  isTelemetryQuery,
  telemetryQueries,
} from '#shared/protocol/telemetry-queries.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type Msg, type Nats, type Subscription, subscribe } from '#shared/runtime/nats.ts';
import { isReplySubject, replyBytes, replyRefusal, requestEncodings } from '#shared/runtime/replies.ts';
import type { AnnouncedService } from '#shared/runtime/service-protocol.ts';
import type { ClusterAnswers } from './cluster-answers.ts';

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
  history: validator(telemetryQueries.history),
  tail: validator(telemetryQueries.tail),
  alerts: validator(telemetryQueries.alerts),
  prometheus: validator(telemetryQueries.prometheus),
};

export interface QueriesOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly answers: ClusterAnswers;
  readonly log: Log;
  readonly announced: AnnouncedService;
  readonly clock: Clock;
}

/** Answers `trivet.telemetry-query.<query>` until the subscription ends. */
export const serveQueries = (options: QueriesOptions): Subscription =>
  subscribe(options.nats, options.subjects.telemetryQueryAll, { queue: queueGroup }, (message) => {
    const startedMs = options.clock.monotonicMs();
    void serveOne(options.answers, message)
      .catch((error: unknown) => {
        options.log.error({ err: error }, 'a query could not be answered');
        replyRefusal(message, refuse('internal', 'the query could not be answered').error);
        return 'internal';
      })
      .then((error) =>
        options.announced.figures(endpointName).count(startedMs, options.clock.monotonicMs(), error),
      );
  });

/** @returns the code of the error that was answered, if one was */
async function serveOne(answers: ClusterAnswers, message: Msg): Promise<string | undefined> {
  const encodings = requestEncodings(message);
  if (!encodings.ok) {
    replyRefusal(message, encodings.error);
    return encodings.error.code;
  }
  const { request, reply } = encodings.value;
  const query = message.subject.slice(message.subject.lastIndexOf('.') + 1);
  const body = decode(message.data, request);
  const answer = body.ok ? await answerTo(answers, query, orEmpty(body.value), message) : body;
  if (!answer.ok) {
    replyRefusal(message, answer.error, reply);
    return answer.error.code;
  }
  replyBytes(message, encode(answer.value, reply), reply);
  return undefined;
}

/** An empty body stands for an empty request; a `null` that was sent does not. */
const orEmpty = (body: unknown): unknown => (body === undefined ? {} : body);

async function answerTo(
  answers: ClusterAnswers,
  query: string,
  body: unknown,
  message: Msg,
): Promise<Result<object>> {
  if (!isTelemetryQuery(query))
    return refuseField('operation', `must be one of ${Object.keys(telemetryQueries).join(', ')}`);
  const asked: Readonly<Record<TelemetryQueryName, () => Promise<Result<object>>>> = {
    stats: () => answered(valid.stats(body), () => answers.stats()),
    series: () => answered(valid.series(body), (given) => answers.series(given)),
    events: () => checked(valid.events(body), (given) => answers.events(given)),
    errors: () => checked(valid.errors(body), (given) => answers.errors(given)),
    logs: () => checked(valid.logs(body), (given) => answers.logs(given)),
    operations: () => answered(valid.operations(body), (given) => answers.operations(given)),
    history: () => checked(valid.history(body), (given) => answers.history(given)),
    tail: () => checked(valid.tail(body), (given) => tail(answers, given, message)),
    alerts: () => answered(valid.alerts(body), () => answers.alerts()),
    prometheus: () => answered(valid.prometheus(body), () => answers.prometheus('text')),
  };
  return asked[query]();
}

async function tail(answers: ClusterAnswers, query: TailQuery, message: Msg): Promise<Result<object>> {
  const { reply = '' } = message;
  // Records go where the request says: only ever to an inbox.
  if (!isReplySubject(reply)) return refuse('invalid_request', 'a tail needs an inbox to go to');
  return answers.tail(query, reply);
}

const answered = async <Q>(
  given: Result<Q>,
  answer: (query: Q) => Promise<object>,
): Promise<Result<object>> => (given.ok ? accept(await answer(given.value)) : given);

const checked = async <Q>(
  given: Result<Q>,
  answer: (query: Q) => Promise<Result<object>>,
): Promise<Result<object>> => (given.ok ? answer(given.value) : given);
