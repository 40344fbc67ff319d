import { assign, createActor, fromPromise, setup } from 'xstate';
import { StartRefused, exitCodes } from './exit-codes.ts';
import type { Log } from './log.ts';

/** What a service does in each part of its life. Each step is called once, in this order. */
export interface Service {
  /** Reads back what is durable. Nothing is answered before it is done. */
  recover(): Promise<void>;
  /** Begins to answer. What it returns is told to whoever started the process. */
  serve(): Promise<Readiness>;
  /** Takes nothing new, finishes what it has, and closes everything. */
  drain(): Promise<void>;
}

/** Told to the supervisor when the process serves. */
export interface Readiness {
  /** Base URL, where the process speaks HTTP. */
  readonly http?: string;
  readonly otlp?: OtlpPorts;
}

/** Where a process receives OTLP; left out where it does not. */
export interface OtlpPorts {
  readonly http?: number;
  readonly grpc?: number;
}

/** Handed to a service, so that it can say that it must end. */
export interface Ending {
  /** Ends the process with `exitCodes.failed`: for a broken invariant or a lost necessity. */
  fail(error: Error): void;
}

export interface ProcessOptions {
  readonly log: Log;
  /** Builds the service: opens what it needs. */
  readonly start: (ending: Ending) => Promise<Service>;
  /** A drain that takes longer ends the process as failed. */
  readonly drainMsMax?: number;
}

type Steps = { readonly [Step in 'start' | 'recover' | 'serve' | 'drain']: () => Promise<void> };
type ProcessEvent = { type: 'DRAIN' } | { type: 'FAIL'; error: unknown };
const machineTypes: { context: { readonly failure?: unknown }; events: ProcessEvent } = {
  context: {},
  events: { type: 'DRAIN' },
};

/**
 * The life of a process: starting → recovering → serving → draining → stopped, or failed from anywhere.
 * @param steps      what is awaited in each state
 * @param drainMsMax how long draining may take
 */
const processMachine = (steps: Steps, drainMsMax: number) =>
  setup({
    types: machineTypes,
    actors: {
      start: fromPromise(steps.start),
      recover: fromPromise(steps.recover),
      serve: fromPromise(steps.serve),
      drain: fromPromise(steps.drain),
    },
    actions: {
      keepFailure: assign({
        failure: ({ event }) =>
          'error' in event ? event.error : new Error(`draining took over ${drainMsMax} ms`),
      }),
    },
    delays: { drainDeadline: drainMsMax },
  }).createMachine({
    id: 'process',
    context: {},
    initial: 'starting',
    on: { FAIL: { target: '.failed', actions: 'keepFailure' } },
    states: {
      starting: {
        invoke: { src: 'start', onDone: 'recovering', onError: { target: 'failed', actions: 'keepFailure' } },
        on: { DRAIN: 'stopped' },
      },
      recovering: {
        invoke: { src: 'recover', onDone: 'serving', onError: { target: 'failed', actions: 'keepFailure' } },
        on: { DRAIN: 'draining' },
      },
      serving: {
        invoke: { src: 'serve', onError: { target: 'failed', actions: 'keepFailure' } },
        on: { DRAIN: 'draining' },
      },
      draining: {
        invoke: { src: 'drain', onDone: 'stopped', onError: { target: 'failed', actions: 'keepFailure' } },
        after: { drainDeadline: { target: 'failed', actions: 'keepFailure' } },
        // A second request to drain ends the process at once.
        on: { DRAIN: 'stopped' },
      },
      stopped: { type: 'final' },
      failed: { type: 'final' },
    },
  });

/**
 * Runs a service until it is told to end: SIGTERM and SIGINT drain it, a second one ends it at once, and so does
 * the loss of the supervisor that started it (the IPC channel closes). Ends the process with one of `exitCodes`.
 */
export function runProcess(options: ProcessOptions): void {
  const { log } = options;
  let service: Service | undefined;
  const running = (): Service => {
    if (service === undefined) throw new Error('the service was used before it was started');
    return service;
  };
  const actor = createActor(
    processMachine(
      {
        start: async () => {
          service = await options.start({ fail: (error) => actor.send({ type: 'FAIL', error }) });
        },
        recover: () => running().recover(),
        serve: async () => announceReady(await running().serve()),
        drain: () => running().drain(),
      },
      options.drainMsMax ?? 10_000,
    ),
  );
  let known: string | undefined;
  actor.subscribe((snapshot) => {
    // A step that has ended gives a snapshot as well; only another state is news.
    if (snapshot.value !== known) log.info(`process ${snapshot.value}`);
    known = snapshot.value;
    if (snapshot.status !== 'done') return;
    endProcess(log, snapshot.value === 'failed' ? { failure: snapshot.context.failure } : undefined);
  });
  const drain = () => actor.send({ type: 'DRAIN' });
  process.on('SIGTERM', drain);
  process.on('SIGINT', drain);
  // Without a supervisor nobody restarts or stops this process: it does not outlive the one it had.
  if (process.connected) process.once('disconnect', drain);
  process.on('uncaughtException', (error) => actor.send({ type: 'FAIL', error }));
  process.on('unhandledRejection', (error) => actor.send({ type: 'FAIL', error }));
  actor.start();
}

function announceReady(readiness: Readiness): void {
  process.send?.({ type: 'ready', ...readiness });
}

function endProcess(log: Log, end: { readonly failure: unknown } | undefined): void {
  if (end === undefined) process.exit(exitCodes.done);
  if (end.failure instanceof StartRefused) {
    log.fatal(end.failure.message);
    process.exit(end.failure.exitCode);
  }
  log.fatal({ err: end.failure }, 'process failed');
  process.exit(exitCodes.failed);
}
