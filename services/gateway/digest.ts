import { createHash, timingSafeEqual } from 'node:crypto';

export const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * Whether two secrets are the same. Their digests are compared, in constant time: neither the length nor the beginning
 * of either shows in how long it takes.
 */
export const isSameSecret = (given: string, expectedSha256: string): boolean =>
  timingSafeEqual(Buffer.from(sha256Hex(given), 'hex'), Buffer.from(expectedSha256, 'hex'));
