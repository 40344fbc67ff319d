/**
 * What can be read off a credential without knowing anybody: the subject token that stands for it on NATS. The client
 * needs it before it connects (its inboxes begin with it), the auth callout pins it.
 */

/** `trv_<id>_<secret>`: the id finds the record, the secret are 256 random bits. */
const apiKeyExpression = /^trv_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

/** The id of an API key, or undefined for anything else. */
export const apiKeyId = (token: string): string | undefined => apiKeyExpression.exec(token)?.[1];

export const apiKeyText = (id: string, secret: string): string => `trv_${id}_${secret}`;

/** The local admin's. */
export const localAdminId = 'a-local';

export const apiKeyPrincipalId = (id: string): string => `k-${id}`;

/** A name that can be one subject token as it is, and leaves room for what follows in a namespace's name. */
const plainName = /^[A-Za-z0-9-]{1,40}$/;

/**
 * The subject token of whoever a JWT or an API key names: readable where the name is short and plain, else a digest.
 * No two names have the same: the first letters tell the two forms apart, and only the plain form has no digest.
 * @param sha256Hex the digest of the name's UTF-8 bytes; asked for only where it is needed
 */
export const nameId = (name: string, sha256Hex: (text: string) => string): string =>
  plainName.test(name) ? `u-${name}` : `x-${sha256Hex(name).slice(0, 40)}`;

/** Where a principal's answers arrive: nobody else may listen there. */
export const privateInbox = (principalId: string): string => `_INBOX.${principalId}`;
