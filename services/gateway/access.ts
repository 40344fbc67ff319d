import type { FastifyRequest } from 'fastify';
import { type Refusal, type Result, refuse } from '#shared/protocol/errors.ts';
import { type Audit, nameOf, traceIdOf } from './audited.ts';
import { authorize } from './core/authorization.ts';
import { shownInAudit } from './core/redaction.ts';
import { refusedIn } from './refused.ts';
import { proofEnded } from './proved.ts';
import { type Operation, type Resource, isAdministrative } from './core/operations.ts';
import type { Principal } from './core/principal.ts';
import type { Answer } from './endpoint.ts';
import { addressOf } from './sign-in.ts';

export interface AccessOptions {
  readonly audit: Audit;
  /** Every operation into the audit, and not what is administrative or refused alone. */
  readonly auditEverything: boolean;
  /** Whose the item is; undefined where there is no such item, or nobody's. */
  readonly ownerOf: (queue: string, itemId: string) => Promise<Result<string | undefined>>;
}

/** One operation on one resource, and how it is done once it is allowed. */
export interface Attempt {
  readonly principal: Principal;
  readonly operation: Operation;
  readonly resource: Resource;
  /** A cookie is not enough for it, and it is all that was shown. */
  readonly needsBearer: boolean;
  /** Given where the request came in so slowly that its credentials may have ended meanwhile. */
  readonly isStillKnown?: () => Promise<boolean>;
  readonly act: () => Promise<Result<Answer>>;
}

const noCookie: Refusal = {
  code: 'forbidden',
  message: 'a bearer token is needed here: a cookie is not enough',
};

/**
 * What stands between a request and its handler: decide, do, write down. An administrative operation is answered when
 * its entry is durable, and not done at all while entries cannot be written.
 */
export class Access {
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  run(request: FastifyRequest, attempt: Attempt): Promise<Result<Answer>> {
    const { principal, operation, resource, needsBearer, isStillKnown, act } = attempt;
    // Most requests: nothing to be asked before, nothing to be written down.
    const isPlain =
      !needsBearer &&
      isStillKnown === undefined &&
      !this.#options.auditEverything &&
      !isAdministrative(operation);
    if (isPlain && authorize(principal, operation, resource).allowed) return act();
    return this.#run(request, attempt);
  }

  async #run(
    request: FastifyRequest,
    { principal, operation, resource, needsBearer, isStillKnown, act }: Attempt,
  ): Promise<Result<Answer>> {
    const { audit, auditEverything } = this.#options;
    const note = (result: string, why?: string, item?: string) => {
      const traceId = traceIdOf(request.observation.traceHeaders['traceparent']);
      const shown = item ?? (resource.kind === 'queue' ? resource.itemId : undefined);
      return {
        who: principal.name,
        id: principal.id,
        via: 'http',
        from: addressOf(request),
        operation,
        on: nameOf(resource),
        ...(shown === undefined ? {} : { item: shownInAudit(shown) }),
        result,
        // It names what was asked for, and somebody may have taken a key for a name.
        ...(why === undefined ? {} : { why: shownInAudit(why) }),
        ...(traceId === undefined ? {} : { traceId }),
      } as const;
    };
    const isEnded = isStillKnown !== undefined && !(await isStillKnown());
    const refused = isEnded
      ? proofEnded
      : needsBearer
        ? noCookie
        : await this.#decide(principal, operation, resource);
    if (refused !== undefined) {
      if (refused.code === 'forbidden' || isEnded) audit.refused(note(refused.code, refused.message));
      return { ok: false, error: refused };
    }
    // What is thrown is in the audit as well: nobody may know whether it was done, but somebody has tried.
    const codeOf = (fault: unknown) => refusedIn(fault)?.refusal.code ?? 'internal';
    if (!isAdministrative(operation)) {
      if (!auditEverything) return act();
      const result = await act().catch((fault: unknown) => {
        void audit.note(note(codeOf(fault)));
        throw fault;
      });
      void audit.note(note(result.ok ? 'ok' : result.error.code));
      return result;
    }
    if (!audit.isWritable)
      return refuse('unavailable', 'the audit cannot be written, so that nothing administrative is done now');
    const result = await act().catch(async (fault: unknown) => {
      await audit.note(note(codeOf(fault)));
      throw fault;
    });
    await audit.note(result.ok ? note('ok', undefined, result.value.auditItem) : note(result.error.code));
    return result;
  }

  async #decide(
    principal: Principal,
    operation: Operation,
    resource: Resource,
  ): Promise<Refusal | undefined> {
    const first = authorize(principal, operation, resource);
    if (first.allowed) return undefined;
    const forbidden: Refusal = { code: 'forbidden', message: first.why };
    if (!first.needsOwner || resource.kind !== 'queue' || resource.itemId === undefined) return forbidden;
    // Owners do not change and ids do not come twice, so what is asked here still holds when it is done.
    const owner = await this.#options.ownerOf(resource.name, resource.itemId);
    // That an item exists is not for everybody either: one that is not there is refused as one that is not one's own.
    if (!owner.ok) return owner.error.code === 'not_found' ? forbidden : owner.error;
    const second = authorize(principal, operation, { ...resource, owner: owner.value ?? '' });
    return second.allowed ? undefined : forbidden;
  }
}
