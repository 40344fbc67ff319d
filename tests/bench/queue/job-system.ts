/** What a benchmark needs of a job system; Trivet and BullMQ implement it with the calls that their users make. */
export interface JobSystem {
  /** Resolves when the system says that it has the item. */
  add(queue: string, payload: unknown): Promise<unknown>;
  /** One batch; rejects when any of it was refused. */
  addMany(queue: string, jobs: readonly NewJob[]): Promise<void>;
  prepare(queue: string, options: { readonly keepDone: boolean }): Promise<void>;
  work(queue: string, options: WorkOptions): Promise<Working>;
  close(): Promise<void>;
}

export interface NewJob {
  readonly payload: unknown;
  /** 0 is the most urgent of four. */
  readonly band?: number;
  readonly group?: string;
}

export interface WorkOptions {
  readonly concurrency: number;
  readonly keepDone: boolean;
  readonly handle: (payload: unknown) => Promise<void>;
  /** Called once for each item that was handled. */
  readonly handled: () => void;
}

export interface Working {
  /** Resolves when the outcomes of all handled items are as durable as the system makes them. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}
