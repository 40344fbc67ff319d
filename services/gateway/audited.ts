import type { AuditNote } from '#shared/protocol/audit-schemas.ts';
import type { Resource } from './core/operations.ts';
import { shownInAudit } from './core/redaction.ts';

/** Where things are noted. `AuditTrail` in a process; an array in a test. */
export interface Audit {
  /** False while entries cannot be written: what must be in the audit is not done then. */
  readonly isWritable: boolean;
  /** Resolves when the entry is durable. */
  note(note: AuditNote): Promise<void>;
  /** A refusal: nobody waits for its entry, and a flood of the same is counted. */
  refused(note: AuditNote): void;
}

/** What a resource is called in the audit. */
export const nameOf = (resource: Resource): string =>
  resource.kind === 'cluster' ? 'the cluster' : `${resource.kind} ${shownInAudit(resource.name)}`;

/** The trace of a request, from its `traceparent`. */
export const traceIdOf = (traceparent: string | undefined): string | undefined =>
  /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(traceparent ?? '')?.[1];
