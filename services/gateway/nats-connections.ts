import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { apiKeyPrincipalId } from '#shared/protocol/credentials.ts';
import { isEnded, tokenState } from './core/credential-records.ts';
import type { CredentialStore } from './credential-store.ts';

export interface NatsConnectionsOptions {
  /** A connection in the system account. */
  readonly system: Nats;
  readonly credentials: CredentialStore;
  readonly clock: Clock;
  /** The account of the clients. */
  readonly account: string;
  readonly log: Log;
}

/** How often tokens are looked at for those that have expired, and connections for those that were missed. */
const expiryLookMs = 500;
const sweepMs = 30_000;
/** A connection that was being made while its token was revoked is not in the server's list yet. */
const secondLookMs = 700;
/** How long servers have to say which connections they hold. */
const answerMs = 700;
const kickMs = 2_000;
const pageSize = 1_024;

interface Connection {
  readonly cid: number;
  readonly user: string;
  /** By the clock of this process; NaN where the server does not say it. */
  readonly madeAtMs: number;
}

interface Connz {
  readonly server: { readonly id: string };
  readonly data?: {
    readonly total?: number;
    /** The time by the server's own clock, RFC 3339. */
    readonly now?: string;
    readonly connections?: readonly {
      readonly cid: number;
      readonly authorized_user?: string;
      /** When it was made, RFC 3339. */
      readonly start?: string;
    }[];
  };
}

/** An answer, and when it came. */
interface Answered extends Connz {
  readonly atMs: number;
}

/** Ends NATS connections whose token has ended. Any number of processes may do this: ending twice does no harm. */
export class NatsConnections {
  readonly #options: NatsConnectionsOptions;
  readonly #ended = new Set<string>();
  readonly #cancel: (() => void)[] = [];
  #subjects = new Map<string, number>();
  #closed = false;

  constructor(options: NatsConnectionsOptions) {
    this.#options = options;
  }

  start(): void {
    const { credentials, clock } = this.#options;
    for (const { id } of this.#endedTokens()) this.#ended.add(id);
    this.#subjects = this.#revokedSubjects();
    credentials.onChange(() => this.#look());
    const every = (ms: number, act: () => void) => {
      const again = (): void => {
        if (this.#closed) return;
        act();
        this.#cancel.push(clock.after(ms, again));
        if (this.#cancel.length > 100) this.#cancel.splice(0, 90);
      };
      this.#cancel.push(clock.after(ms, again));
    };
    every(expiryLookMs, () => this.#look());
    every(sweepMs, () => void this.#sweep());
    void this.#sweep();
  }

  stop(): void {
    this.#closed = true;
    for (const cancel of this.#cancel) cancel();
  }

  /** What has ended since the last look. */
  #look(): void {
    for (const { id } of this.#endedTokens()) {
      if (this.#ended.has(id)) continue;
      this.#ended.add(id);
      this.#endUser(apiKeyPrincipalId(id));
    }
    const subjects = this.#revokedSubjects();
    for (const [id, beforeMs] of subjects) {
      if (this.#subjects.get(id) !== beforeMs) this.#endUser(id);
    }
    this.#subjects = subjects;
  }

  #endedTokens() {
    const nowMs = this.#options.clock.nowMs();
    return this.#options.credentials.tokens().filter((record) => tokenState(record, nowMs) !== 'active');
  }

  #revokedSubjects(): Map<string, number> {
    const { credentials } = this.#options;
    return new Map(credentials.revokedSubjects().map((id) => [id, credentials.revokedBeforeMs(id)]));
  }

  #endUser(user: string): void {
    void this.#endWhere({ user }, () => true);
    this.#cancel.push(
      this.#options.clock.after(secondLookMs, () => void this.#endWhere({ user }, () => true)),
    );
  }

  #sweep(): Promise<void> {
    const { credentials, clock } = this.#options;
    return this.#endWhere(
      {},
      (user, madeAtMs) =>
        isEnded(user, (id) => credentials.token(id), clock.nowMs()) ||
        // A JWT's subject may have been revoked while nobody was here to see it; who came later has a newer JWT. By whole
        // seconds, as JWTs are dated: whoever came in the second of the revocation has none that is newer.
        Math.floor(madeAtMs / 1_000) * 1_000 < credentials.revokedBeforeMs(user),
    );
  }

  async #endWhere(
    filter: { readonly user?: string },
    isMeant: (user: string, madeAtMs: number) => boolean,
  ): Promise<void> {
    const { system, account, log } = this.#options;
    try {
      const question = { auth: true, acc: account, ...filter };
      const answers = await this.#askAll('$SYS.REQ.SERVER.PING.CONNZ', question);
      for (const answer of answers) {
        for (const { cid, user, madeAtMs } of await this.#pages(answer, question)) {
          if (!isMeant(user, madeAtMs)) continue;
          log.info({ user, cid, server: answer.server.id }, 'ends a connection whose token has ended');
          // A request, though nothing is done with its answer: the server ignores what has no reply subject.
          await system.connection.request(
            `$SYS.REQ.SERVER.${answer.server.id}.KICK`,
            JSON.stringify({ cid }),
            { timeout: kickMs },
          );
        }
      }
    } catch (error) {
      if (!this.#closed) log.error({ err: error }, 'connections could not be looked at');
    }
  }

  /** All connections of one server: the first page is there already. */
  async #pages(first: Answered, question: object): Promise<readonly Connection[]> {
    const connections = [...connectionsOf(first)];
    const total = first.data?.total ?? 0;
    while (connections.length < total) {
      const page = { ...question, offset: connections.length, limit: pageSize };
      const [next] = await this.#askAll(`$SYS.REQ.SERVER.${first.server.id}.CONNZ`, page);
      const more = next === undefined ? [] : connectionsOf(next);
      if (more.length === 0) break;
      connections.push(...more);
    }
    return connections;
  }

  async #askAll(subject: string, question: object): Promise<readonly Answered[]> {
    const replies = await this.#options.system.connection.requestMany(subject, JSON.stringify(question), {
      strategy: 'stall',
      maxWait: answerMs,
      stall: 150,
    } as never);
    const answers: Answered[] = [];
    for await (const reply of replies)
      answers.push({ ...reply.json<Connz>(), atMs: this.#options.clock.nowMs() });
    return answers;
  }
}

/** By the age that a connection has on its server: the clocks of two machines differ. */
const connectionsOf = ({ data, atMs }: Answered): readonly Connection[] =>
  (data?.connections ?? []).map(({ cid, authorized_user: user = '', start = '' }) => {
    const ageMs = Date.parse(data?.now ?? '') - Date.parse(start);
    return { cid, user, madeAtMs: atMs - ageMs };
  });
