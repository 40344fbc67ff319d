import { type NatsConnection, createInbox } from '@nats-io/transport-node';

// `nats stream backup` and `nats stream restore`, as that command speaks them to nats-server.

export interface StreamBackup {
  readonly name: string;
  /** Configuration and state, as nats-server gave them. */
  readonly head: object;
  readonly chunks: readonly Uint8Array[];
}

const timeoutMs = 20_000;

/** Reads a stream as a whole. The connection may use JetStream's interface and its own inbox. */
export async function backUp(nats: NatsConnection, name: string, inboxPrefix: string): Promise<StreamBackup> {
  const deliver = createInbox(inboxPrefix);
  const arriving = nats.subscribe(deliver);
  await nats.flush();
  const { config, state } = await asked(nats, `$JS.API.STREAM.SNAPSHOT.${name}`, {
    deliver_subject: deliver,
    chunk_size: 65_536,
  });
  const chunks: Uint8Array[] = [];
  for await (const message of arriving) {
    message.respond();
    // The end of it.
    if (message.data.length === 0) break;
    chunks.push(message.data);
  }
  arriving.unsubscribe();
  return { name, head: { config, state }, chunks };
}

/** Writes it where no stream of that name is. */
export async function restore(nats: NatsConnection, { name, head, chunks }: StreamBackup): Promise<void> {
  const { deliver_subject: deliver } = await asked(nats, `$JS.API.STREAM.RESTORE.${name}`, head);
  if (typeof deliver !== 'string') throw new Error(`${name} cannot be restored`);
  for (const chunk of chunks)
    refuseError((await nats.request(deliver, chunk, { timeout: timeoutMs })).string());
  refuseError((await nats.request(deliver, '', { timeout: timeoutMs })).string());
}

async function asked(nats: NatsConnection, subject: string, body: object): Promise<Record<string, unknown>> {
  const reply = await nats.request(subject, JSON.stringify(body), { timeout: timeoutMs });
  refuseError(reply.string());
  return reply.json<Record<string, unknown>>();
}

function refuseError(text: string): void {
  const error = text.startsWith('{') ? (JSON.parse(text) as { error?: unknown }).error : undefined;
  if (error !== undefined) throw new Error(JSON.stringify(error));
  if (text.startsWith('-ERR')) throw new Error(text);
}
