import type { Clock } from '#shared/runtime/clock.ts';

import {
  type ProcessPlan,
  type ProcessReport,
  type ReadyMessage,
  SupervisedProcess,
} from './supervised-process.ts';

// A service gives its own draining 10 s; what is beyond that hangs.
const drainMsMax = 15_000;

/** All processes of a cluster on one machine. */
export class Supervisor {
  readonly #report: ProcessReport;
  readonly #clock: Clock;
  readonly #processes: SupervisedProcess[] = [];
  #ending = false;

  constructor(report: ProcessReport, clock: Clock) {
    this.#report = report;
    this.#clock = clock;
  }

  /**
   * Starts processes beside each other and waits until all serve.
   * @returns what each said, in the order of the plans
   * @throws StartRefused when one of them refuses to start
   */
  async run(plans: readonly ProcessPlan[]): Promise<readonly ReadyMessage[]> {
    if (this.#ending) return [];
    const started = plans.map((plan) => new SupervisedProcess(plan, this.#report, this.#clock));
    this.#processes.push(...started);
    return Promise.all(started.map((process) => process.start()));
  }

  /** Pids of the processes of a service that run now, in the order of their numbers. */
  pids(service?: string): readonly number[] {
    return this.#processes
      .filter(({ plan }) => service === undefined || plan.service === service)
      .flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  /** Pid of the nats-server itself, not of its keeper. */
  natsServerPid(): number | undefined {
    return this.#processes.find(({ ready }) => ready?.nats !== undefined)?.ready?.nats?.pid;
  }

  /** Names of the processes that do not serve yet. */
  starting(): readonly string[] {
    return this.#processes.filter(({ ready }) => ready === undefined).map(({ plan }) => plan.name);
  }

  /**
   * Ends everything, stage after stage.
   * @param stages services that end together; what is in no stage ends first
   */
  async drain(stages: readonly (readonly string[])[]): Promise<void> {
    this.#ending = true;
    const staged = new Set(stages.flat());
    const first = this.#processes.filter(({ plan }) => !staged.has(plan.service));
    await stopAll(first);
    for (const services of stages)
      await stopAll(this.#processes.filter(({ plan }) => services.includes(plan.service)));
  }

  /** Ends everything at once. */
  kill(): void {
    this.#ending = true;
    for (const process of this.#processes) process.kill();
  }
}

async function stopAll(processes: readonly SupervisedProcess[]): Promise<void> {
  await Promise.all(processes.map((process) => process.stop(drainMsMax)));
}
