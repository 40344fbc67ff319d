import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Static, TSchema } from 'typebox';
import type { Result, ErrorCode } from '#shared/protocol/errors.ts';
import type { Operation, Resource } from './core/operations.ts';
import type { Principal } from './core/principal.ts';

/** One checked and allowed request: what a handler gets. */
export interface Call<Path, Query, Body, Headers = undefined> {
  readonly path: Path;
  readonly query: Query;
  readonly body: Body;
  /** The body as it came, unpacked: passed on, it loses nothing that a number of JavaScript cannot hold. */
  readonly bytes: Uint8Array;
  /** Those that the endpoint's own schema names. */
  readonly headers: Headers;
  readonly idempotencyKey: string | undefined;
  /** Who asks; absent where the endpoint is public. */
  readonly principal: Principal | undefined;
  /** For a session of a browser: what its page must send along with what changes something. */
  readonly csrfToken: () => string | undefined;
  /** The caller's trace context, to be handed on with every request over NATS. */
  readonly traceHeaders: Readonly<Record<string, string>>;
  /** True once nobody waits any more, because the caller went away or the gateway drains. */
  readonly givenUp: () => boolean;
  /** Whether the caller's credentials are good now: for an answer that lasts, or that comes late. */
  readonly isStillKnown: () => Promise<boolean>;
}

/** What a handler answers. A refusal travels beside it, as the other side of a `Result`. */
export interface Answer {
  readonly status: number;
  /** Sent as JSON; text where `contentType` is given. Nothing is sent with 204 and 304. */
  readonly body?: unknown;
  /** JSON that is written already, in the place of `body`. */
  readonly json?: Uint8Array | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly contentType?: string;
  /** Takes the connection over and answers by itself, for as long as it likes; in the place of everything else. */
  readonly stream?: (response: ServerResponse, headers: OutgoingHttpHeaders) => void;
  /** Which thing of its resource an administrative operation was done to, for the audit. */
  readonly auditItem?: string;
  /** Called when the answer did not reach the caller, so that what was meant for it is not lost. */
  readonly undelivered?: () => void;
}

/** What an answer of some status holds, for OpenAPI. */
export interface AnswerDescription {
  readonly about: string;
  readonly schema?: TSchema;
  readonly contentType?: string;
}

/** Who may call: everybody, or whoever may do `operation` on `resource`. There is no third way, and no default. */
export type Access<Path, Query, Body> =
  | 'public'
  | {
      readonly operation: Operation | ((call: Call<Path, Query, Body>) => Operation);
      readonly resource: (call: Call<Path, Query, Body>) => Resource;
    };

type ValueOf<Schema> = Schema extends TSchema ? Static<Schema> : undefined;

/** One row of the HTTP API: all that is known about an endpoint, from which route, checks and OpenAPI are made. */
export interface EndpointDefinition<
  P extends TSchema | undefined,
  Q extends TSchema | undefined,
  B extends TSchema | undefined,
  H extends TSchema | undefined = undefined,
> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Fastify's notation: `/queue/:queue_name/dequeue`. */
  readonly url: string;
  readonly operationId: string;
  readonly summary: string;
  readonly tag: 'queue' | 'cache' | 'telemetry' | 'events' | 'gateway';
  readonly access: Access<ValueOf<P>, ValueOf<Q>, ValueOf<B>>;
  readonly path?: P;
  /** Left out: every query parameter is refused. */
  readonly query?: Q;
  /** Request headers by their names in small letters; others are nobody's business here. */
  readonly headers?: H;
  readonly body?: B;
  /** Bodies that are not JSON: their content types. They are handed over as `bytes`. */
  readonly takes?: readonly string[];
  /**
   * What `Idempotency-Key` means here: it is passed on (`used`), it would change nothing because repeating is harmless
   * (`needless`, by default), or the operation has no way to keep to it, so that it is refused (`refused`).
   */
  readonly idempotency?: 'used' | 'needless' | 'refused';
  /** Largest body, in bytes and unpacked; by default that of a request for one payload. */
  readonly bodyBytesMax?: number;
  /** A cookie is not enough: what is handed out once must not go to a page that a browser was lured to. */
  readonly bearerOnly?: boolean;
  /** The same, where it is this body that asks for such a thing. */
  readonly bearerOnlyFor?: (body: ValueOf<B>) => boolean;
  /** A body that is not there counts as `{}`. */
  readonly bodyOptional?: boolean;
  readonly answers: Readonly<Record<number, AnswerDescription>>;
  /** Codes that this endpoint can refuse with, beside those that every endpoint has. */
  readonly refusals?: readonly ErrorCode[];
  readonly handle: (call: Call<ValueOf<P>, ValueOf<Q>, ValueOf<B>, ValueOf<H>>) => Promise<Result<Answer>>;
}

/** A definition whose schemas are no longer in its type. */
export type Endpoint = EndpointDefinition<TSchema, TSchema, TSchema, TSchema>;

/** Ties the types of path, query and body to their schemas, and forgets them again for the table. */
export function endpoint<
  P extends TSchema | undefined = undefined,
  Q extends TSchema | undefined = undefined,
  B extends TSchema | undefined = undefined,
  H extends TSchema | undefined = undefined,
>(definition: EndpointDefinition<P, Q, B, H>): Endpoint {
  return definition as unknown as Endpoint;
}
