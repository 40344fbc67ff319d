import { setTimeout as delay } from 'node:timers/promises';
import { TrivetError } from '#shared/protocol/errors.ts';

/** Asks again while nobody answers: what every careful caller does. A refusal of the request itself is thrown. */
export async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof TrivetError && !error.retryable) throw error;
      // Without anybody there NATS says so at once; a breath keeps this from being a busy loop.
      await delay(50);
    }
  }
}
