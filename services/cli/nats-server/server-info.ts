import { payloadBytesMax } from '#shared/protocol/limits.ts';
import { StartRefused } from '#shared/runtime/exit-codes.ts';
import { withoutCredentials } from '#shared/runtime/nats-address.ts';
import { type ServerInfo, readServerInfo } from '#shared/runtime/server-info.ts';

import { floorText, isSupportedVersion } from './version.ts';

/** A payload of 1 MiB with its envelope, and room for a group of records in one append. */
const recommendedPayloadBytes = 8 * 1024 * 1024;

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
      `or payloads above ${Math.min(Math.floor(info.maxPayloadBytes / 2), payloadBytesMax)} bytes and large batches will be refused`,
  ];
}
