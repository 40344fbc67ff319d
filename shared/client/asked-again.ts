import { type Refusal, type Result, refuse } from '#shared/protocol/errors.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { BrokerWatch } from './broker-watch.ts';

export const isTransient = (refusal: Pick<Refusal, 'code'>): boolean =>
  refusal.code === 'timeout' || refusal.code === 'unavailable';

/** Not all who ask again at the same moment, when a broker comes back. */
export const briefPause = (clock: Clock): Promise<void> => sleep(clock, 200 + Math.random() * 300);

/** How long an answer may still come once the connection is back, in milliseconds: a broker may have had the question. */
const lateAnswerMsMax = 10_000;

export interface AskedAgainOptions {
  readonly nats: Nats;
  readonly clock: Clock;
  readonly brokers: BrokerWatch;
  /** How long there may be no answer, in milliseconds. */
  readonly timeoutMs: number;
  /** Whether it may be asked twice, and the answer is the same. */
  readonly isRepeatable: boolean;
  /**
   * How long it is asked on while nobody is there to answer (`unavailable`: it was not done) though somebody was
   * before, in milliseconds: a broker is started again, or another one takes over. Default 0.
   */
  readonly gapMsMax?: number;
}

/**
 * Asks. What is refused because no broker is there is asked again for `gapMsMax`. Where another broker begins to serve,
 * or the connection was lost and is back, the answer may never come: what may be asked twice is asked again then, until
 * it is answered or the time is over; of the rest it is said soon that it is not known what became of it.
 * @param ask never rejects; it is given how long it may take, in milliseconds
 */
export function askedAgain<T>(
  { nats, clock, brokers, timeoutMs, isRepeatable, gapMsMax = 0 }: AskedAgainOptions,
  ask: (timeoutMs: number) => Promise<Result<T>>,
): Promise<Result<T>> {
  const fromMs = clock.monotonicMs();
  const untilMs = fromMs + timeoutMs;
  return new Promise((resolve) => {
    let asked = 0;
    let isRenewed = false;
    let isOver = false;
    let cancelLate = () => {};
    const answer = (reply: Result<T>): void => {
      isOver = true;
      stop();
      cancelLate();
      resolve(reply);
    };
    /** Whether there may be another answer to the newest question, which had this one. */
    const mayFollow = ({ code }: Refusal): boolean => {
      const nowMs = clock.monotonicMs();
      if (nowMs >= untilMs || nats.connection.isClosed()) return false;
      if (isRenewed && isRepeatable) return true;
      return code === 'unavailable' && brokers.wasHeard && nowMs < fromMs + gapMsMax;
    };
    const askOnce = async (): Promise<void> => {
      asked += 1;
      const number = asked;
      const reply = await ask(Math.max(1, untilMs - clock.monotonicMs()));
      if (isOver) return;
      if (reply.ok || !isTransient(reply.error)) {
        brokers.hear();
        return answer(reply);
      }
      // The newest question is the one that goes on.
      if (number !== asked) return;
      if (!mayFollow(reply.error)) return answer(reply);
      await briefPause(clock);
      if (number === asked && !isOver) await askOnce();
    };
    const stop = brokers.onNew((why) => {
      isRenewed = true;
      if (isRepeatable) void askOnce();
      else if (why === 'connection') {
        cancelLate();
        const text = 'the connection was lost before the answer came: it may have been done, or not';
        cancelLate = clock.after(lateAnswerMsMax, () => answer(refuse('timeout', text)));
      }
    });
    void askOnce();
  });
}
