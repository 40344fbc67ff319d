/** A refusal of nats-server's own, as its log tells it. */
export interface NatsViolation {
  readonly account: string;
  readonly user: string;
  /** Address and port. */
  readonly from: string;
  readonly kind: 'publish' | 'subscribe';
  readonly subject: string;
}

// `… [ERR] 127.0.0.1:42694 - cid:18 - "v3.4.0:nats.js:a name" - "CLIENTS/user:k-1" - Publish Violation - Subject "x"`.
// The client's own name is in the line, and may say anything: so the last match counts, and subjects have no blanks. Quotes
// and backslashes in a subject are escaped. (Versions differ in the colon after `Queue`.)
const violation =
  /\[ERR\] (\S+) - cid:\d+ - .*"([^"/]+)\/(?:[a-z]+:)?([^"]*)" - (Publish|Subscription) Violation - Subject "((?:[^"\s\\]|\\\S)*)"(?:, Queue:? "(?:[^"\s\\]|\\\S)*")?(?:, SID \S+)?$/;

/** The violation in a line of nats-server's log, or undefined for any other line. */
export function readViolation(line: string): NatsViolation | undefined {
  const [, from, account, user, kind, subject] = violation.exec(line.trimEnd()) ?? [];
  if (from === undefined || account === undefined || user === undefined || subject === undefined)
    return undefined;
  return {
    from,
    account,
    user,
    kind: kind === 'Publish' ? 'publish' : 'subscribe',
    subject: subject.replaceAll(/\\(["\\])/g, '$1'),
  };
}
