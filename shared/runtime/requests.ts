import {
  type Msg,
  type NatsConnection,
  ClosedConnectionError,
  NoRespondersError,
  PermissionViolationError,
  RequestError,
  TimeoutError,
  createInbox,
} from '@nats-io/transport-node';

type SendRequest = NatsConnection['request'];

interface Waiting {
  readonly subject: string;
  readonly untilMs: number;
  readonly resolve: (reply: Msg) => void;
  readonly reject: (error: Error) => void;
}

/** Added to the wait of the timer, since it may fire a little early, in milliseconds. */
const timerSlackMs = 1;

/** The library's own. */
const timeoutMsDefault = 1_000;

/**
 * Makes requests on a connection cheap, those of JetStream and its buckets included: the library makes an error with its
 * stack, a timer and five promises for each request, also for one that is answered. Here they share an inbox, a map
 * and one timer. Replies and errors are as the library has them (`TimeoutError`; `RequestError` with the cause).
 * Requests with options beyond time and headers are left to the library.
 *
 * @param inboxPrefix what the inbox begins with; the library's default where it is undefined
 */
export function cheapenRequests(connection: NatsConnection, inboxPrefix: string | undefined): void {
  const viaLibrary = connection.request.bind(connection);
  const inbox = `${createInbox(inboxPrefix)}.`;
  const waiting = new Map<string, Waiting>();
  let count = 0;
  let isListening = false;
  let isWatching = false;
  let timer: NodeJS.Timeout | undefined;
  let timerAtMs = Infinity;

  const rejectAll = (cause: Error, concerns: (one: Waiting) => boolean = () => true): void => {
    for (const [token, one] of waiting) {
      if (!concerns(one)) continue;
      waiting.delete(token);
      one.reject(new RequestError(cause.message, { cause }));
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
    if (message.data.length > 0 || message.headers?.code !== 503) return one.resolve(message);
    const cause = new NoRespondersError(one.subject);
    one.reject(new RequestError(cause.message, { cause }));
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

  const endWithConnection = async (): Promise<void> => {
    await connection.closed();
    clearTimeout(timer);
    rejectAll(new ClosedConnectionError());
  };

  /** With the first request: a connection that makes none has no inbox. */
  const listen = (): void => {
    isListening = true;
    connection.subscribe(`${inbox}*`, { callback: hear });
    if (isWatching) return;
    isWatching = true;
    void watchRefusals();
    void endWithConnection();
  };

  const request: SendRequest = (subject, payload, options) => {
    const { timeout = timeoutMsDefault, headers, ...others } = options ?? {};
    if (Object.keys(others).length > 0 || timeout < 1) return viaLibrary(subject, payload, options);
    return new Promise((resolve, reject) => {
      if (!isListening) listen();
      count += 1;
      const token = count.toString(36);
      // Throws for what cannot be sent at all, which rejects.
      connection.publish(subject, payload, {
        reply: inbox + token,
        ...(headers === undefined ? {} : { headers }),
      });
      const untilMs = performance.now() + timeout;
      waiting.set(token, { subject, untilMs, resolve, reject });
      if (untilMs < timerAtMs) setTimer(untilMs);
    });
  };
  connection.request = request;
}
