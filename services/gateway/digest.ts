import { hash, timingSafeEqual } from 'node:crypto';

// In one call: an object for each digest costs as much as the digest of a token.
export const sha256Hex = (text: string): string => hash('sha256', text, 'hex');

/**
 * Whether two secrets are the same. Their digests are compared, in constant time: neither the length nor the beginning
 * of either shows in how long it takes.
 */
export const isSameSecret = (given: string, expectedSha256: string): boolean =>
  timingSafeEqual(Buffer.from(sha256Hex(given)), Buffer.from(expectedSha256));
