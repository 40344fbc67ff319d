import { type Stats, readFileSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import { decode, json } from '#shared/protocol/encoding.ts';
import type { TelemetryLevel } from '#shared/protocol/telemetry-records.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type DestinationPlan, pipelinesOf } from './core/pipelines.ts';
import type { Rules } from './core/rules.ts';
import { environmentDestination } from './environment-destination.ts';

/** Destinations and rules that are in force. */
export interface LoadedPipelines {
  readonly destinations: readonly DestinationPlan[];
  readonly rules: Rules;
  readonly alerts: readonly AlertRule[];
}

export interface PipelinesFileOptions {
  /** Undefined where the environment alone says where OTLP goes. */
  readonly path: string | undefined;
  readonly levelMin: TelemetryLevel;
  readonly endpoint: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly ownSubjects: string;
  readonly webhookOrigins: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

// How often the file is looked at. A signal (SIGHUP) has it looked at now.
const lookMs = 1_000;
const fileBytesMax = 1_048_576;

/** The file with pipelines: read at the start, and again whenever it has changed. */
export class PipelinesFile {
  readonly #options: PipelinesFileOptions;
  #text = '';
  #seen = '';
  #onChange: (loaded: LoadedPipelines) => void = () => undefined;
  #cancel: () => void = () => undefined;
  #isStopped = false;

  constructor(options: PipelinesFileOptions) {
    this.#options = options;
  }

  /** The pipelines, or what is wrong with the file, as a sentence. */
  load(): LoadedPipelines | { readonly fault: string } {
    const { path } = this.#options;
    if (path === undefined) return this.#understood({});
    try {
      // Looked at before it is read: what changes in between is noticed then.
      this.#seen = fingerprint(statSync(path));
      this.#text = readFileSync(path, 'utf8');
    } catch (error) {
      return { fault: `cannot be read: ${error instanceof Error ? error.message : String(error)}` };
    }
    if (this.#text.length > fileBytesMax) return { fault: `is larger than ${fileBytesMax} bytes` };
    const decoded = decode(Buffer.from(this.#text), json);
    if (!decoded.ok) return { fault: decoded.error.message.replace('the body', 'it') };
    return this.#understood(decoded.value ?? {});
  }

  /** Calls `onChange` with each good change until `stop`; a bad one is refused, and what was before stays. */
  watch(onChange: (loaded: LoadedPipelines) => void): void {
    this.#onChange = onChange;
    if (this.#options.path !== undefined) this.#lookLater();
  }

  /** Looks at the file now, whether or not it seems to have changed. */
  reload(): void {
    const { path, log } = this.#options;
    if (path === undefined || this.#isStopped) return;
    const before = this.#text;
    const loaded = this.load();
    if ('fault' in loaded) log.error({ path }, `the pipelines stay as they are: the file ${loaded.fault}`);
    else if (before !== this.#text) {
      log.info({ path, destinations: loaded.destinations.length }, 'the pipelines have changed');
      this.#onChange(loaded);
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #lookLater(): void {
    this.#cancel = this.#options.clock.after(lookMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { path = '' } = this.#options;
    // A file that is not there for a moment is one that is being replaced.
    const seen = await stat(path).then(fingerprint, () => this.#seen);
    if (seen !== this.#seen) this.reload();
    if (!this.#isStopped) this.#lookLater();
  }

  #understood(given: unknown): LoadedPipelines | { readonly fault: string } {
    const { levelMin, env, ownSubjects, endpoint, webhookOrigins } = this.#options;
    const understood = pipelinesOf(given, { levelMin, env, ownSubjects, webhookOrigins });
    if (!understood.ok) return { fault: `is refused: ${understood.error.message}` };
    const { rules, destinations, alerts } = understood.value;
    const own = environmentDestination(endpoint, env);
    return { rules, alerts, destinations: destinations ?? (own === undefined ? [] : [own]) };
  }
}

const fingerprint = ({ mtimeMs, size, ino }: Stats): string => `${mtimeMs} ${size} ${ino}`;
