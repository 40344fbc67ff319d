import { accept } from '#shared/protocol/errors.ts';
import {
  type AuditEntry,
  type AuditQuery as AuditQueryType,
  AuditHeads as AuditHeadsSchema,
  AuditLines,
  AuditLinesQuery,
  AuditPage,
  AuditQuery,
} from '#shared/protocol/audit-schemas.ts';
import { entryOf } from '#shared/runtime/audit-chain.ts';
import type { AuditHeads } from './audit-heads.ts';
import type { AuditStream } from './audit-stream.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

export interface AuditEndpointsOptions {
  readonly stream: AuditStream;
  readonly heads: AuditHeads;
  readonly publicKey: string;
}

const entriesDefault = 50;
/** Messages that one request reads at most: a filter that matches little must not read the whole audit. */
const messagesMax = 500;
/** Lines that one answer holds, about: a message is never torn apart. */
const linesMax = 2_000;

const cluster = () => ({ kind: 'cluster' }) as const;
const access = { operation: 'audit.list', resource: cluster } as const;

export const auditEndpoints = (options: AuditEndpointsOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/v1/audit',
    operationId: 'listAudit',
    summary: 'The audit, newest first',
    tag: 'gateway',
    access,
    query: AuditQuery,
    answers: {
      200: {
        about:
          'Entries that match; `cursor` leads to older ones. A page may be short, or empty, and not the last.',
        schema: AuditPage,
      },
    },
    handle: async ({ query }) => accept({ status: 200, body: await page(options.stream, query) }),
  }),
  endpoint({
    method: 'GET',
    url: '/v1/audit/lines',
    operationId: 'listAuditLines',
    summary: 'The audit as it is kept, oldest first, for whoever checks the chain',
    tag: 'gateway',
    access,
    query: AuditLinesQuery,
    answers: { 200: { about: 'Lines; `cursor` leads to the next ones.', schema: AuditLines } },
    handle: async ({ query }) => accept({ status: 200, body: await linesFrom(options.stream, query.cursor) }),
  }),
  endpoint({
    method: 'GET',
    url: '/v1/audit/heads',
    operationId: 'listAuditHeads',
    summary: 'Signed heads of the chain, from where they are kept beside it',
    tag: 'gateway',
    access,
    answers: { 200: { about: 'Heads, and the key of this process.', schema: AuditHeadsSchema } },
    handle: async () =>
      accept({ status: 200, body: { heads: await options.heads.all(), key: options.publicKey } }),
  }),
];

async function page(stream: AuditStream, query: AuditQueryType) {
  const limit = query.limit ?? entriesDefault;
  const entries: AuditEntry[] = [];
  // Which message to read next, and the number of the entry that was shown last.
  const [at, shown] = query.cursor?.split('-').map(Number) ?? [];
  let before = shown ?? Infinity;
  let sequence = at ?? (await stream.end()).sequence;
  for (let read = 0; sequence > 0 && read < messagesMax; read += 1, sequence -= 1) {
    const message = await stream.read(sequence);
    for (const line of (message?.lines ?? []).toReversed()) {
      const entry = entryOf(line);
      if (entry.n >= before) continue;
      before = entry.n;
      if (!isMeant(entry, query)) continue;
      entries.push(entry);
      if (entries.length === limit) return { entries, cursor: `${sequence}-${before}` };
    }
  }
  return sequence > 0 ? { entries, cursor: `${sequence}-${before}` } : { entries };
}

const isMeant = (entry: AuditEntry, { who, operation, result }: AuditQueryType): boolean =>
  (who === undefined || entry.who === who || entry.id === who) &&
  (operation === undefined || entry.operation === operation) &&
  (result === undefined || entry.result === result);

async function linesFrom(stream: AuditStream, cursor: string | undefined) {
  const lines: string[] = [];
  const { sequence: last } = await stream.end();
  let sequence = cursor === undefined ? 1 : Math.max(1, Number(cursor));
  for (; sequence <= last && lines.length < linesMax; sequence += 1) {
    const message = await stream.read(sequence);
    lines.push(...(message?.lines ?? []));
  }
  return sequence <= last ? { lines, cursor: String(sequence) } : { lines };
}
