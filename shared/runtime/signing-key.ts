import { createUser, fromPublic, fromSeed } from '@nats-io/nkeys';

/** An Ed25519 key in NATS's own text form (an nkey of a user): `SU…` the seed, `U…` the public key. */
export interface SigningKey {
  readonly publicKey: string;
  /** The signature of the text's UTF-8 bytes, in base64. */
  sign(text: string): string;
}

/** Throws when the seed is none. */
export function signingKey(seed: string): SigningKey {
  const pair = fromSeed(Buffer.from(seed));
  return {
    publicKey: pair.getPublicKey(),
    sign: (text) => Buffer.from(pair.sign(Buffer.from(text))).toString('base64'),
  };
}

/** Never throws. */
export function isSeed(text: string): boolean {
  try {
    signingKey(text);
    return true;
  } catch {
    return false;
  }
}

export const newSigningSeed = (): string => Buffer.from(createUser().getSeed()).toString();

/** Whether the signature is that key's. Never throws: what is no key and no signature proves nothing. */
export function isSignedBy(publicKey: string, text: string, signature: string): boolean {
  try {
    return fromPublic(publicKey).verify(Buffer.from(text), Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}
