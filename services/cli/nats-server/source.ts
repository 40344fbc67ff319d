/**
 * One place a nats-server binary can come from. The table of them is `sources.ts`; `resolve.ts` walks it.
 * A source only hands over a path: the version of what it found is read and judged in one place, for all alike.
 */
export interface NatsServerSource {
  /** Short, for progress lines and the final error: `PATH`, `cache`, `go install`. */
  readonly name: string;
  obtain(context: SourceContext): Promise<SourceResult>;
}

export interface SourceContext {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly arch: NodeJS.Architecture;
  readonly cache: CacheFolder;
  readonly progress: (line: string) => void;
}

export type SourceResult =
  | { readonly kind: 'found'; readonly path: string }
  /** `reason` completes the sentence "<name>: …" in the list of what was tried. */
  | { readonly kind: 'absent'; readonly reason: string };

/** Where obtained binaries are kept between runs: `<folder>/<version>/nats-server`. */
export interface CacheFolder {
  readonly path: string;
  list(): Promise<readonly { readonly version: string; readonly path: string }[]>;
  /** Runs `fill` in an empty folder of its own that is removed afterwards, whatever happened. */
  withWorkFolder<T>(fill: (folder: string) => Promise<T>): Promise<T>;
  /** Moves a finished binary in; atomic, so that two processes that obtain the same one do not disturb each other. */
  install(binary: string, version: string): Promise<string>;
}

export function found(path: string): SourceResult {
  return { kind: 'found', path };
}

export function absent(reason: string): SourceResult {
  return { kind: 'absent', reason };
}
