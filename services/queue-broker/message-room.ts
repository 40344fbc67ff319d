import { payloadBytesLimit, replyBytesMax } from '#shared/protocol/limits.ts';

/** `max_payload` of nats.conf, which all limits of messages go with. */
const usualBytes = 8 * 1_048_576;

/** What goes into one message of this NATS, in bytes. */
export interface MessageRoom {
  readonly payloadBytesMax: number;
  readonly replyBytesMax: number;
  /** Requests of one group: small enough for one message, large enough to share an fsync among thousands. */
  readonly groupBytesMax: number;
  /** What one request may add to the log, with room for what time and waiters add. */
  readonly recordBytesMax: number;
}

/**
 * The limits where NATS takes 8 MB, and in proportion where it takes less: what is larger the connection refuses to
 * send, and a broker that cannot write its record or its answer owns nothing any more.
 * @param maxPayload bytes, as nats-server says
 */
export function messageRoom(maxPayload: number = usualBytes): MessageRoom {
  const part = Math.min(1, maxPayload / usualBytes);
  return {
    payloadBytesMax: Math.floor(payloadBytesLimit * part),
    replyBytesMax: Math.floor(replyBytesMax * part),
    groupBytesMax: Math.floor(4 * 1_048_576 * part),
    recordBytesMax: Math.floor(7.5 * 1_048_576 * part),
  };
}
