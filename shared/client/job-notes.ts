import { jsonText } from '#shared/protocol/encoding.ts';
import { TrivetError, refuse, refuseField } from '#shared/protocol/errors.ts';
import { logLineLengthMax, logLinesPerRequestMax, progressBytesMax } from '#shared/protocol/limits.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { RunningJob } from './job.ts';

export interface JobNotesOptions {
  readonly clock: Clock;
  /** Hands a note to the thread that renews leases. */
  readonly note: (job: RunningJob, note: string) => void;
  /** Sends lines, and a note, on the worker's own connection: before what is sent after them. */
  readonly send: (job: RunningJob, notes: { lines: readonly string[]; note?: string }) => Promise<void>;
}

interface Notes {
  /** The newest progress note, and when it was handed to the thread; undefined: not yet. */
  note?: string;
  notedAtMs?: number;
  handed: boolean;
  lines: string[];
}

/** How often one job's note is handed over, and its lines are sent. The thread gathers for as long again. */
const gatherMs = 100;
/** By then the thread has sent what it was handed. */
const sentAfterMs = 300;

/** What handlers say while they run: progress notes and log lines, gathered, and complete before the outcome. */
export class JobNotes {
  readonly #options: JobNotesOptions;
  readonly #jobs = new Map<RunningJob, Notes>();
  #timed = false;

  constructor(options: JobNotesOptions) {
    this.#options = options;
  }

  /** The first note goes at once, so that it does so also from a handler that then blocks its thread. */
  progress(job: RunningJob, note: unknown): void {
    const notes = this.#of(job);
    notes.note = noteText(note);
    notes.handed = false;
    const nowMs = this.#options.clock.monotonicMs();
    if (notes.notedAtMs === undefined || nowMs - notes.notedAtMs >= gatherMs) this.#hand(job, notes, nowMs);
    else this.#gather();
  }

  log(job: RunningJob, text: string): void {
    if (typeof text !== 'string') throw new TrivetError(refuseField('line', 'must be text').error);
    const notes = this.#of(job);
    for (const line of linesOf(text)) {
      notes.lines.push(line);
      if (notes.lines.length === logLinesPerRequestMax) this.#sendLines(job, notes);
    }
    this.#gather();
  }

  /** Sends what is left of a job that has ended: called before its outcome is sent. */
  end(job: RunningJob): void {
    const notes = this.#jobs.get(job);
    if (notes === undefined) return;
    this.#jobs.delete(job);
    const { lines, note, notedAtMs = 0, handed } = notes;
    const sent = handed && this.#options.clock.monotonicMs() - notedAtMs >= sentAfterMs;
    void this.#options.send(job, { lines, ...(note === undefined || sent ? {} : { note }) });
  }

  #of(job: RunningJob): Notes {
    const known = this.#jobs.get(job);
    if (known !== undefined) return known;
    const made: Notes = { handed: true, lines: [] };
    this.#jobs.set(job, made);
    return made;
  }

  #gather(): void {
    if (this.#timed) return;
    this.#timed = true;
    const { clock } = this.#options;
    clock.after(gatherMs, () => {
      this.#timed = false;
      const nowMs = clock.monotonicMs();
      for (const [job, notes] of this.#jobs) {
        this.#sendLines(job, notes);
        if (!notes.handed) this.#hand(job, notes, nowMs);
      }
    });
  }

  #hand(job: RunningJob, notes: Notes, nowMs: number): void {
    notes.handed = true;
    notes.notedAtMs = nowMs;
    this.#options.note(job, notes.note ?? 'null');
  }

  #sendLines(job: RunningJob, notes: Notes): void {
    if (notes.lines.length === 0) return;
    void this.#options.send(job, { lines: notes.lines });
    notes.lines = [];
  }
}

function noteText(note: unknown): string {
  let text: string | undefined;
  try {
    text = jsonText(note) as string | undefined;
  } catch (error) {
    const { error: refusal } = refuseField('progress', 'cannot be written as JSON');
    throw new TrivetError(refusal, { cause: error });
  }
  if (text === undefined)
    throw new TrivetError(refuseField('progress', 'must be a JSON value: no function, no symbol').error);
  if (Buffer.byteLength(text) <= progressBytesMax) return text;
  const message = `progress must be at most ${progressBytesMax} bytes`;
  throw new TrivetError(refuse('payload_too_large', message, { field: 'progress' }).error);
}

/** A text as lines that the wire takes: split at line ends, and where a line is too long. */
function linesOf(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const parts = [line.slice(0, logLineLengthMax)];
    for (let from = logLineLengthMax; from < line.length; from += logLineLengthMax)
      parts.push(line.slice(from, from + logLineLengthMax));
    return parts;
  });
}
