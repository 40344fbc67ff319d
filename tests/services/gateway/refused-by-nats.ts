import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';

/** What nats-server refuses of what `act` asks for. */
export async function refusals(client: NatsConnection, act: () => void): Promise<readonly string[]> {
  const refused: string[] = [];
  const status = client.status();
  void (async () => {
    for await (const one of status) {
      if (one.type === 'error' && one.error instanceof PermissionViolationError)
        refused.push(`${one.error.operation} ${one.error.subject}`);
    }
  })();
  await turnOfTheLoop();
  act();
  await client.flush();
  await turnOfTheLoop();
  return refused;
}

export const publishes = async (client: NatsConnection, subject: string): Promise<boolean> =>
  (await refusals(client, () => client.publish(subject, '{}'))).length === 0;
export const subscribes = async (client: NatsConnection, subject: string): Promise<boolean> =>
  (await refusals(client, () => void client.subscribe(subject, { callback: () => undefined }))).length === 0;
