import { requestReply } from '#shared/client/request.ts';
import { localAdminId } from '#shared/protocol/credentials.ts';
import { type Encoding, decode, encodingOf, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, refuse } from '#shared/protocol/errors.ts';
import { singleHeader } from '#shared/protocol/headers.ts';
import { isName } from '#shared/protocol/names.ts';
import { type Subjects } from '#shared/protocol/subjects.ts';
import { type Msg, type Nats, type Subscription, subscribe } from '#shared/runtime/nats.ts';
import { isReplySubject, replyRefusal, replyValue } from '#shared/runtime/replies.ts';
import { type Audit, nameOf, traceIdOf } from './audited.ts';
import { keyPrincipal } from './authentication.ts';
import { asksForChildren, authorize } from './core/authorization.ts';
import { type Operation, type Resource, isAdministrative, isOperation } from './core/operations.ts';
import { type Principal, localAdmin } from './core/principal.ts';
import { shownInAudit } from './core/redaction.ts';
import type { CredentialStore } from './credential-store.ts';

export interface AsDoorOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly credentials: Pick<CredentialStore, 'token'>;
  readonly audit: Audit;
}

const group = 'trivet-as';
const answerMs = 30_000;

interface AsRequest {
  readonly principalId: string;
  readonly operation: Operation;
  readonly resource: Resource;
  /** The public subject that is meant. */
  readonly subject: string;
}

/**
 * Administration over NATS: `trivet.as.<principal>.queue.<queue>.<operation>`. The auth callout lets nobody but that
 * principal publish there, so the audit's "who" is true. Whoever holds an API key is asked for once more: its grants
 * may have ended since it connected. (A JWT's are in the JWT, which is not here: nats-server has judged it.)
 */
export function openAsDoor(options: AsDoorOptions): Subscription {
  return subscribe(options.nats, options.subjects.asAll, { queue: group }, (message) => {
    answer(options, message).catch((error: unknown) => {
      options.nats.log?.error({ err: error, subject: message.subject }, 'a request was not answered');
    });
  });
}

async function answer(options: AsDoorOptions, message: Msg): Promise<void> {
  if (message.reply === undefined || !isReplySubject(message.reply)) return;
  const encoding = encodingOf(message.headers?.get('Content-Type')) ?? json;
  const result = await handle(options, message, encoding);
  if (result.ok) replyValue(message, result.value, encoding);
  else replyRefusal(message, result.error, encoding);
}

async function handle(options: AsDoorOptions, message: Msg, encoding: Encoding): Promise<Result<unknown>> {
  const { audit, nats } = options;
  const request = readSubject(options.subjects, message.subject);
  if (request === undefined) return refuse('not_found', `${message.subject} is no administrative operation`);
  const known = principalOf(request.principalId, options.credentials);
  const traceId = traceIdOf(message.headers?.get('traceparent'));
  const note = (result: string, why?: string) =>
    ({
      who: known?.name ?? request.principalId,
      id: request.principalId,
      via: 'nats',
      from: 'NATS',
      operation: request.operation,
      on: nameOf(request.resource),
      ...itemOf(message),
      result,
      ...(why === undefined ? {} : { why: shownInAudit(why) }),
      ...(traceId === undefined ? {} : { traceId }),
    }) as const;
  const withChildren = request.operation === 'queue.cancel' && reachesChildren(message, encoding);
  const refusal = decide(request, known, withChildren);
  if (refusal !== undefined) {
    audit.refused(note(refusal.code, refusal.message));
    return { ok: false, error: refusal };
  }
  if (!audit.isWritable)
    return refuse('unavailable', 'the audit cannot be written, so that nothing administrative is done now');
  const headers = Object.fromEntries(
    passedOn.flatMap((name) => {
      const value = message.headers?.get(name) ?? '';
      return value === '' ? [] : [[name, value]];
    }),
  );
  const contentType = singleHeader(message.headers, 'Content-Type');
  const result = contentType.ok
    ? await requestReply(nats, request.subject, message.data, { headers, timeoutMs: answerMs })
    : contentType;
  await audit.note(note(result.ok ? 'ok' : result.error.code));
  return result;
}

const passedOn = ['Content-Type', 'traceparent', 'tracestate'];

function decide(
  { principalId, operation, resource }: AsRequest,
  known: Principal | undefined,
  withChildren: boolean,
): Refusal | undefined {
  if (known === undefined) {
    // nats-server has judged the queue of the subject, not those of the children.
    if (withChildren)
      return { code: 'forbidden', message: `${principalId} may cancel with children over HTTP alone` };
    // No key of this id: revoked and forgotten, or made up by a service.
    return principalId.startsWith('k-')
      ? { code: 'forbidden', message: `${principalId} is nobody` }
      : undefined;
  }
  const decision = authorize(
    known,
    operation,
    resource.kind === 'queue' ? { ...resource, withChildren } : resource,
  );
  return decision.allowed ? undefined : { code: 'forbidden', message: decision.why };
}

function principalOf(id: string, credentials: Pick<CredentialStore, 'token'>): Principal | undefined {
  if (id === localAdminId) return localAdmin;
  const record = id.startsWith('k-') ? credentials.token(id.slice(2)) : undefined;
  return record === undefined || record.revokedAtMs !== undefined ? undefined : keyPrincipal(record);
}

function readSubject(subjects: Subjects, subject: string): AsRequest | undefined {
  const [principalId = '', area = '', name = '', word = '', ...more] = subject
    .slice(subjects.as('', '').length - 1)
    .split('.');
  const operation = `${area}.${word}`;
  if (more.length > 0 || !isName(name) || !isOperation(operation) || !isAdministrative(operation))
    return undefined;
  if (area === 'queue')
    return { principalId, operation, resource: { kind: 'queue', name }, subject: subjects.queue(name, word) };
  return {
    principalId,
    operation,
    resource: { kind: 'namespace', name },
    subject: subjects.cache(name, word),
  };
}

/** Read as the broker will read it. What it cannot read it refuses; until then that counts as asking for everything. */
function reachesChildren(message: Msg, encoding: Encoding): boolean {
  const body = decode(message.data, encoding);
  return !body.ok || asksForChildren(body.value);
}

/** The item of a request in JSON, for the audit. */
function itemOf(message: Msg): { readonly item?: string } {
  const found = /^\s*\{[^{}]*"id"\s*:\s*"([0-9a-z-]{1,20})"/.exec(
    Buffer.from(message.data.subarray(0, 512)).toString(),
  );
  return found?.[1] === undefined ? {} : { item: found[1] };
}
