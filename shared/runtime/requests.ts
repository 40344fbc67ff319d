import {
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  ClosedConnectionError,
  NoRespondersError,
  PermissionViolationError,
  TimeoutError,
  createInbox,
} from '@nats-io/transport-node';

export interface RequestSettings {
  /** How long to wait for the reply, in milliseconds. */
  readonly timeout: number;
  readonly headers?: MsgHdrs;
}

/** Sends a request; resolves with its first reply. */
export type SendRequest = (subject: string, data: Uint8Array, settings: RequestSettings) => Promise<Msg>;

interface Waiting {
  readonly subject: string;
  readonly untilMs: number;
  readonly resolve: (reply: Msg) => void;
  readonly reject: (error: Error) => void;
}

/** Added to the wait of the timer, since it may fire a little early, in milliseconds. */
const timerSlackMs = 1;

/**
 * Requests over one connection, which share one inbox. The same as the library's own, with its errors (`TimeoutError`,
 * `NoRespondersError`, `PermissionViolationError`, `ClosedConnectionError`), but for what they cost: the library makes
 * an error with its stack, a timer and five promises for each request, also for one that is answered.
 *
 * @param inboxPrefix what the inbox begins with; the library's default where it is undefined
 */
export function requestsOf(connection: NatsConnection, inboxPrefix: string | undefined): SendRequest {
  const inbox = `${createInbox(inboxPrefix)}.`;
  const waiting = new Map<string, Waiting>();
  let count = 0;
  let isListening = false;
  let isWatching = false;
  let timer: NodeJS.Timeout | undefined;
  let timerAtMs = Infinity;

  const rejectAll = (error: Error, concerns: (one: Waiting) => boolean = () => true): void => {
    for (const [token, one] of waiting) {
      if (!concerns(one)) continue;
      waiting.delete(token);
      one.reject(error);
    }
  };

  const hear = (error: Error | null, message: Msg): void => {
    if (error !== null) {
      // The inbox may not be listened to: no reply will come. The next request finds out anew.
      isListening = false;
      return rejectAll(error);
    }
    const token = message.subject.slice(inbox.length);
    const one = waiting.get(token);
    // It came too late, or is a second one.
    if (one === undefined) return;
    waiting.delete(token);
    if (message.data.length === 0 && message.headers?.code === 503)
      one.reject(new NoRespondersError(one.subject));
    else one.resolve(message);
  };

  const setTimer = (atMs: number): void => {
    clearTimeout(timer);
    timerAtMs = atMs;
    timer = setTimeout(endLate, Math.max(0, atMs - performance.now()) + timerSlackMs);
  };

  const endLate = (): void => {
    const nowMs = performance.now();
    timerAtMs = Infinity;
    let nextMs = Infinity;
    for (const [token, one] of waiting) {
      if (one.untilMs > nowMs) nextMs = Math.min(nextMs, one.untilMs);
      else {
        waiting.delete(token);
        one.reject(new TimeoutError());
      }
    }
    if (nextMs !== Infinity) setTimer(nextMs);
  };

  const watchRefusals = async (): Promise<void> => {
    for await (const status of connection.status()) {
      if (status.type !== 'error' || !(status.error instanceof PermissionViolationError)) continue;
      const { error } = status;
      if (error.operation === 'publish') rejectAll(error, ({ subject }) => subject === error.subject);
    }
  };

  /** With the first request: a connection that makes none has no inbox. */
  const listen = (): void => {
    isListening = true;
    connection.subscribe(`${inbox}*`, { callback: hear });
    if (isWatching) return;
    isWatching = true;
    void watchRefusals();
    void connection.closed().then(() => {
      clearTimeout(timer);
      rejectAll(new ClosedConnectionError());
    });
  };

  return (subject, data, { timeout, headers }) =>
    new Promise((resolve, reject) => {
      if (!isListening) listen();
      count += 1;
      const token = count.toString(36);
      // Throws for what cannot be sent at all, which rejects.
      connection.publish(subject, data, {
        reply: inbox + token,
        ...(headers === undefined ? {} : { headers }),
      });
      const untilMs = performance.now() + timeout;
      waiting.set(token, { subject, untilMs, resolve, reject });
      if (untilMs < timerAtMs) setTimer(untilMs);
    });
}
