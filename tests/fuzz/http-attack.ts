import { type Agent, request } from 'node:http';
import { connect } from 'node:net';
import { Problem } from '#shared/protocol/http-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';
import { fuzzedBody, headerText, mutated, oddText } from './mutations.ts';

export interface HttpTarget {
  readonly http: string;
  readonly token: string;
  readonly agent: Agent;
  /** Paths of the document, with their parameters in braces, and the methods that each has. */
  readonly routes: readonly { readonly method: string; readonly path: string }[];
}

const isProblem = validator(Problem);
const names = ['fuzz', 'other', '0-1', '-', 'a-local'];
const headerNames = [
  'content-type',
  'content-encoding',
  'idempotency-key',
  'if-match',
  'if-none-match',
  'accept',
  'accept-encoding',
  'traceparent',
  'last-event-id',
  'x-request-id',
];
/** Nobody waits longer for an answer than this; a wait that was asked for may be. */
const waitMsMax = 5_000;

/** One request. @returns what was wrong with its answer */
export async function attackHttp(target: HttpTarget, random: SeededRandom): Promise<string | undefined> {
  if (random.chance(0.05)) return attackSocket(target, random);
  const route = random.pick(target.routes);
  const path = route.path.replaceAll(/\{[^}]+\}/g, () =>
    random.chance(0.8)
      ? random.pick(names)
      : encodeURIComponent(oddText(random).toWellFormed().slice(0, 1_500)),
  );
  const query = random.chance(0.3)
    ? `?${random.pick(['limit', 'wait', 'max', 'cursor', 'state', 'since', 'x'])}=${encodeURIComponent(oddText(random).toWellFormed().slice(0, 1_000))}`
    : '';
  const method = random.chance(0.9) ? route.method : random.pick(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']);
  const headers: Record<string, string> = {
    authorization: `Bearer ${random.chance(0.97) ? target.token : headerText(random)}`,
  };
  if (method !== 'GET') headers['content-type'] = 'application/json';
  for (let count = random.integer(0, 2); count > 0; count -= 1)
    headers[random.pick(headerNames)] = headerText(random);
  const body = method === 'GET' ? undefined : fuzzedBody(random);
  return sent(target, { method, path: `${path}${query}`, headers, body });
}

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

function sent(
  { http, agent }: HttpTarget,
  { method, path, headers, body }: Sent,
): Promise<string | undefined> {
  const what = `${method} ${path.slice(0, 200)} ${JSON.stringify(headers)}`;
  return new Promise((resolve) => {
    const call = request(`${http}${path}`, { method, headers, agent }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', () => resolve(undefined));
      response.on('end', () => {
        const fault = faultOf(response.statusCode ?? 0, response.headers, Buffer.concat(parts));
        const shown = `${what} ${body?.toString('latin1').slice(0, 200) ?? ''}`;
        resolve(fault === undefined ? undefined : `${shown}: ${fault}`);
      });
    });
    call.setTimeout(waitMsMax, () => {
      call.destroy();
      // A dequeue or a result that is asked to wait does.
      resolve(/dequeue|result|load/.test(path) ? undefined : `${what}: no answer`);
    });
    // A request that is refused before its body was read may break while it is still being written.
    call.on('error', () => resolve(undefined));
    call.end(body);
  });
}

function faultOf(
  status: number,
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  body: Buffer,
): string | undefined {
  if (status < 400) return undefined;
  if (status === 500) return `500 ${body.toString().slice(0, 500)}`;
  if (headers['content-encoding'] !== undefined) return undefined;
  if (!String(headers['content-type']).startsWith('application/problem+json'))
    return `${status} as ${String(headers['content-type'])}: ${body.toString().slice(0, 200)}`;
  const problem = isProblem(JSON.parse(body.toString()));
  return problem.ok ? undefined : `${status}: ${problem.error.message}`;
}

/** What is nearly HTTP, on a connection of its own; whatever it is, the gateway closes it or answers. */
function attackSocket({ http, token }: HttpTarget, random: SeededRandom): Promise<string | undefined> {
  const { hostname, port } = new URL(http);
  const whole = `POST /queue/enqueue HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`;
  const bytes = random.chance(0.3) ? fuzzedBody(random) : mutated(random, Buffer.from(whole));
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.end(bytes));
    let answer = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    socket.setTimeout(waitMsMax, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('close', () =>
      resolve(
        answer.startsWith('HTTP/1.1 500')
          ? `${bytes.toString('latin1')}: ${answer.slice(0, 300)}`
          : undefined,
      ),
    );
  });
}
