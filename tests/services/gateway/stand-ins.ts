import { headers as natsHeaders, type Msg } from '@nats-io/transport-node';
import { type ErrorCode, errorTable } from '#shared/protocol/errors.ts';
import { type RunningGateway, startGateway } from './running-gateway.ts';

// What goes over NATS for an HTTP request, and how what comes back is told. A test stands in for the services, so
// that it can see their side and answer what real ones hardly ever do.

export interface Seen {
  readonly subject: string;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

export type Reply =
  { readonly value: unknown } | { readonly code: ErrorCode; readonly details?: object } | 'silence';

/** A gateway, and whoever stands in for the services behind it. */
export class StandIns {
  readonly gateway: RunningGateway;
  readonly #undo: (() => void)[] = [];

  static async start(): Promise<StandIns> {
    return new StandIns(await startGateway());
  }

  private constructor(gateway: RunningGateway) {
    this.gateway = gateway;
  }

  /** Answers on `subject` and remembers what was asked. */
  async answer(subject: string, reply: (seen: Seen) => Reply): Promise<Seen[]> {
    const all: Seen[] = [];
    const subscription = this.gateway.connection.subscribe(subject, {
      callback: (_error, message) => {
        const seen = {
          subject: message.subject,
          body: message.data.length === 0 ? undefined : message.json(),
          headers: headersIn(message),
        };
        all.push(seen);
        respond(message, reply(seen));
      },
    });
    this.undoAfterTest(() => subscription.unsubscribe());
    await this.gateway.connection.flush();
    return all;
  }

  undoAfterTest(undo: () => void): void {
    this.#undo.push(undo);
  }

  afterTest(): void {
    for (const one of this.#undo.splice(0)) one();
  }

  stop(): Promise<void> {
    return this.gateway.stop();
  }
}

const headersIn = (message: Msg): Record<string, string> =>
  Object.fromEntries((message.headers?.keys() ?? []).map((name) => [name, message.headers?.get(name) ?? '']));

export function respond(message: Msg, reply: Reply): void {
  if (reply === 'silence') return;
  if ('value' in reply) {
    message.respond(JSON.stringify(reply.value));
    return;
  }
  const headers = natsHeaders();
  headers.set('Nats-Service-Error-Code', String(errorTable[reply.code].status));
  const error = { code: reply.code, message: `for a test of ${reply.code}`, details: reply.details };
  message.respond(JSON.stringify({ error }), { headers });
}
