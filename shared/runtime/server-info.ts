import { connect } from 'node:net';

/** What a nats-server says of itself to whoever comes. */
export interface ServerInfo {
  readonly version: string;
  readonly jetstream: boolean;
  readonly maxPayloadBytes: number;
  /** False where whoever says nothing of himself is let in, too. */
  readonly asksWho: boolean;
}

const infoTimeoutMs = 5_000;

/** Reads the INFO line that every nats-server sends first, before TLS and login. */
export function readServerInfo(url: string): Promise<ServerInfo> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? 4222 : Number(port),
    });
    let text = '';
    const fail = (reason: string) => {
      socket.destroy();
      reject(new Error(reason));
    };
    socket.setTimeout(infoTimeoutMs, () => fail(`nothing came within ${infoTimeoutMs / 1000} s`));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\r\n');
      if (end < 0) return;
      const info = parseInfo(text.slice(0, end));
      if (info === undefined) return fail('what answers there is not a nats-server');
      socket.destroy();
      resolve(info);
    });
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => fail('it closed the connection'));
  });
}

function parseInfo(line: string): ServerInfo | undefined {
  if (!line.startsWith('INFO {')) return undefined;
  const info = JSON.parse(line.slice('INFO '.length)) as Partial<Record<string, unknown>>;
  const { version, jetstream, max_payload: maxPayload, auth_required: asksWho } = info;
  return {
    version: typeof version === 'string' ? version : '',
    jetstream: jetstream === true,
    maxPayloadBytes: typeof maxPayload === 'number' ? maxPayload : 0,
    asksWho: asksWho === true,
  };
}
