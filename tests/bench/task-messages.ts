// What a benchmark and its client processes say to each other, whatever the tasks are.

/** The tasks of a kind of client process, by name. */
export type TaskMap<Tasks> = {
  readonly [K in keyof Tasks]: { readonly input: unknown; readonly output: unknown };
};

/** From the parent to the client process. */
export interface TaskMessage<Tasks extends TaskMap<Tasks>, K extends keyof Tasks = keyof Tasks> {
  readonly id: number;
  readonly task: K;
  readonly input: Tasks[K]['input'];
}

/** From the client process to its parent. */
export type ClientMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'progress'; readonly handled: number }
  | { readonly kind: 'done'; readonly id: number; readonly output?: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly problem: string };

export type Performers<Tasks extends TaskMap<Tasks>> = {
  readonly [K in keyof Tasks]: (input: Tasks[K]['input']) => Promise<Tasks[K]['output']>;
};

export interface TaskServing<Tasks extends TaskMap<Tasks>> {
  readonly performers: Performers<Tasks>;
  /** Called when the parent closes the channel; the process then ends. */
  readonly close: () => Promise<void>;
}

/** In the client process: does what the parent asks, one message a task, until the channel closes. */
export function serveTasks<Tasks extends TaskMap<Tasks>>({ performers, close }: TaskServing<Tasks>): void {
  const perform = async <K extends keyof Tasks>({
    id,
    task,
    input,
  }: TaskMessage<Tasks, K>): Promise<void> => {
    try {
      tellParent({ kind: 'done', id, output: await performers[task](input) });
    } catch (error) {
      const problem = `${String(task)}: ${error instanceof Error ? error.message : String(error)}`;
      tellParent({ kind: 'failed', id, problem });
    }
  };
  process.on('message', (message: TaskMessage<Tasks>) => void perform(message));
  process.once('disconnect', () => void close().finally(() => process.exit()));
  tellParent({ kind: 'ready' });
}

export function tellParent(message: ClientMessage): void {
  process.send?.(message);
}
