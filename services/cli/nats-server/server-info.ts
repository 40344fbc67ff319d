import { connect } from 'node:net';

import { StartRefused } from '#shared/runtime/exit-codes.ts';
import { withoutCredentials } from '#shared/runtime/nats-address.ts';

import { floorText, isSupportedVersion } from './version.ts';

export interface ServerInfo {
  readonly version: string;
  readonly jetstream: boolean;
  readonly maxPayloadBytes: number;
}

/** A payload of 1 MiB with its envelope, and room for a group of records in one append. */
const recommendedPayloadBytes = 8 * 1024 * 1024;
const infoTimeoutMs = 5_000;

/**
 * Checks a NATS that somebody else runs, by what it says of itself before any login.
 * What it does with streams is read back by the services when they make them; this is the early, clear refusal.
 * @param url one address or several, separated by commas: the first that answers is asked
 * @returns warnings for people
 * @throws StartRefused (3) when it is too old, has no JetStream, or does not answer
 */
export async function checkServer(url: string): Promise<readonly string[]> {
  const failures: string[] = [];
  for (const one of url.split(',')) {
    if (/^wss?:/.test(one))
      return [`${withoutCredentials(one)} is a WebSocket address: its version is not checked`];
    try {
      return judge(withoutCredentials(one), await readServerInfo(one));
    } catch (error) {
      if (error instanceof StartRefused) throw error;
      failures.push(`${withoutCredentials(one)}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new StartRefused(
    3,
    `No NATS answers at NATS_URL. Without it, npm start brings a nats-server of its own.\n${failures.map((line) => `  - ${line}`).join('\n')}`,
  );
}

function judge(url: string, info: ServerInfo): readonly string[] {
  if (!isSupportedVersion(info.version))
    throw new StartRefused(3, `The NATS at ${url} is ${info.version}; it takes ${floorText}.`);
  if (!info.jetstream)
    throw new StartRefused(3, `The NATS at ${url} runs without JetStream; start it with -js.`);
  if (info.maxPayloadBytes >= recommendedPayloadBytes) return [];
  return [
    `the NATS at ${url} takes messages up to ${info.maxPayloadBytes} bytes; set max_payload to 8MB, ` +
      'or payloads near 1 MiB and large batches will be refused',
  ];
}

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
  const { version, jetstream, max_payload: maxPayload } = info;
  return {
    version: typeof version === 'string' ? version : '',
    jetstream: jetstream === true,
    maxPayloadBytes: typeof maxPayload === 'number' ? maxPayload : 0,
  };
}
