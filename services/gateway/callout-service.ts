import { subjectsFor } from '#shared/protocol/subjects.ts';
import {
  type CalloutAnswer,
  type CalloutKeys,
  type CalloutRequest,
  answerCallouts,
} from '#shared/runtime/auth-callout.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { openAsDoor } from './as-door.ts';
import { natsPermissions } from './core/nats-permissions.ts';
import { readViolation } from './core/nats-violation.ts';
import { nobody } from './core/principal.ts';
import { shownInAudit } from './core/redaction.ts';
import type { Identity } from './identity.ts';
import { tailLines } from './log-tail.ts';
import { NatsConnections } from './nats-connections.ts';

export interface CalloutServiceOptions {
  readonly identity: Identity;
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Log;
  /** As one of the services. */
  readonly nats: Nats;
  /** In the account that nats-server asks in. */
  readonly auth: Nats;
  /** In the system account. */
  readonly system: Nats;
  readonly keys: CalloutKeys;
  readonly natsLogFile: string | undefined;
}

/** The account of everybody who is not a service (nats.conf). */
const clientAccount = 'CLIENTS';

/** The gate to NATS: who may connect, what they may do there, and when it ends. */
export function calloutService(options: CalloutServiceOptions): Service {
  const { identity, prefix, clock, log, nats, auth, system, keys, natsLogFile } = options;
  const subjects = subjectsFor(prefix);
  const connections = new NatsConnections({
    system,
    credentials: identity.credentials,
    clock,
    account: clientAccount,
    log,
  });
  const stops: (() => void)[] = [];
  return {
    recover: () => Promise.resolve(),
    serve: async () => {
      const door = openAsDoor({ nats, subjects, credentials: identity.credentials, audit: identity.audit });
      stops.push(() => door.unsubscribe());
      stops.push(answerCallouts(auth, keys, (request) => decide(options, request)));
      if (natsLogFile !== undefined)
        stops.push(tailLines(natsLogFile, clock, (line) => noteViolation(identity, line)));
      connections.start();
      await Promise.all([nats.connection.flush(), auth.connection.flush()]);
      log.info('auth callout answers');
      return {};
    },
    drain: async () => {
      for (const stop of stops) stop();
      connections.stop();
      await auth.connection.drain();
      await system.connection.close();
    },
  };
}

async function decide(
  { identity, prefix }: CalloutServiceOptions,
  { credential, host, client, server }: CalloutRequest,
): Promise<CalloutAnswer> {
  const note = { via: 'nats', from: host, operation: 'nats.connect', on: 'NATS' } as const;
  const proved =
    credential === undefined || credential === ''
      ? ({ kind: 'nobody', why: 'no credentials' } as const)
      : await identity.authenticate(credential, host);
  if (proved.kind !== 'somebody') {
    const result = proved.kind === 'nobody' ? 'unauthorized' : 'unavailable';
    identity.audit.refused({ ...note, who: nobody.name, id: nobody.id, result, why: proved.why });
    // What a stranger is told is nats-server's own sentence, whatever stands here: it goes to the server's log.
    return { refused: proved.why };
  }
  const { principal, untilMs } = proved;
  if (identity.auditEverything) {
    const who = { who: principal.name, id: principal.id };
    void identity.audit.note({ ...note, ...who, item: `connection ${client} of ${server}`, result: 'ok' });
  }
  return { user: principal.id, account: clientAccount, untilMs, ...natsPermissions(principal, prefix) };
}

function noteViolation({ audit, credentials }: Identity, line: string): void {
  const found = readViolation(line);
  if (found === undefined) return;
  const record = found.user.startsWith('k-') ? credentials.token(found.user.slice(2)) : undefined;
  audit.refused({
    who: record?.name ?? found.user,
    id: found.user,
    via: 'nats',
    from: found.from,
    operation: `nats.${found.kind}`,
    on: shownInAudit(found.subject),
    result: 'forbidden',
    why: 'refused by nats-server',
  });
}
