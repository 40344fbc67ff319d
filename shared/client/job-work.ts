import type { IncomingJob, Job, RunningJob } from './job.ts';
import { messagingTracer, processInSpan } from './messaging-spans.ts';
import { compose } from './middleware.ts';
import { type PayloadSchema, checkPayload } from './payload-schema.ts';
import { InvalidPayload } from './settlement.ts';
import type { Handler, WorkerOptions } from './worker-options.ts';

/** What is done for one job, from the outside in: span, middleware, schema, handler. Throws what the handler throws. */
export function handlerWork<Payload, Result>(
  handler: Handler<Payload, Result>,
  options: WorkerOptions<Payload, Result>,
): (job: RunningJob) => Promise<Result> | Result {
  const { schema, middleware = [] } = options;
  const handled = (job: IncomingJob) => handler(job.payload as Payload, job as Job<Payload>);
  const innermost = schema === undefined ? handled : (job: IncomingJob) => checked(job, schema, handled);
  const work = compose<IncomingJob, Result>(middleware, innermost);
  return (job) => {
    const tracer = messagingTracer();
    return tracer === undefined ? work(job) : processInSpan(tracer, job, () => work(job));
  };
}

async function checked<Payload, Result>(
  job: IncomingJob,
  schema: PayloadSchema<unknown, Payload>,
  work: (job: IncomingJob) => Promise<Result> | Result,
): Promise<Result> {
  const result = await checkPayload(schema, job.payload);
  if (!result.ok) throw new InvalidPayload(result.error);
  job.payload = result.value;
  return work(job);
}
