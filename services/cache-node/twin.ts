import type { Subjects } from '#shared/protocol/subjects.ts';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import { type Nats, subscribe } from '#shared/runtime/nats.ts';

/** How long a process that runs may take to say so, in milliseconds. Of one that ended NATS knows at once that it is gone. */
const answerMsMax = 1_000;

/**
 * Makes sure that no other process runs under this name, before its lease is touched: the other one would lose its
 * slots and everything in them. A node that was killed comes back at once, since nobody answers for it any more; one
 * that is paused or cut off does not answer either, and its lease decides.
 * @throws StartRefused when another process of this name answers
 */
export async function refuseTwin(nats: Nats, subjects: Subjects, name: string): Promise<void> {
  const subject = subjects.cachePeer(`name-${Buffer.from(name).toString('base64url')}`, 'ask', 'name');
  const isThere = await nats.connection.request(subject, undefined, { timeout: answerMsMax }).then(
    () => true,
    () => false,
  );
  if (isThere)
    throw new StartRefused(
      exitCodes.usage,
      `a cache node named ${name} runs on this NATS already: give this one another TRIVET_NAME and TRIVET_DATA`,
    );
  subscribe(nats, subject, {}, (message) => message.respond());
}
