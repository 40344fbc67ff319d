import type { StoredSettings } from './queue-settings.ts';
import type { Turn } from './turn.ts';

/** Gives a queue other settings from here on; those that it has already are not written again. */
export function decideConfigure(turn: Turn, queue: string, settings: StoredSettings): void {
  const stored = turn.table.queue(queue)?.stored ?? {};
  // Both were made by the same hands, so that equal settings are equal text.
  if (JSON.stringify(stored) === JSON.stringify(settings)) return;
  turn.emit({ kind: 'configured', queue, settings });
  // A limit that was raised lets those in who wait.
  turn.table.capacity.note(queue, turn.at);
}
