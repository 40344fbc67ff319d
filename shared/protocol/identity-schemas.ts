import { type Static, Type } from 'typebox';
import { Duration, Strict, Word } from './fields.ts';
import { nameLengthMax } from './limits.ts';

/** Tokens, grants and sessions as HTTP shows them (docs/protocol.md, Identity). */

export const roles = ['admin', 'operator', 'producer', 'worker', 'viewer'] as const;
export const Role = Word(roles);
export type Role = (typeof roles)[number];

/** A queue's or namespace's name, or the beginning of one followed by `*`. */
const NamePattern = Type.String({
  pattern: `^(\\*|[A-Za-z0-9_-]{1,${nameLengthMax}}\\*?)$`,
  'x-expected': 'a name, or the beginning of one followed by *',
});
const patterns = Type.Array(NamePattern, { maxItems: 64 });

/** What somebody may do, and where: without `queues`, `namespaces` and `cluster` everywhere. */
export const Grant = Strict({
  role: Role,
  queues: Type.Optional(patterns),
  namespaces: Type.Optional(patterns),
  cluster: Type.Optional(Type.Boolean()),
  own: Type.Optional(Type.Boolean()),
});
export type Grant = Static<typeof Grant>;

export const Grants = Type.Array(Grant, { minItems: 1, maxItems: 16 });

/** The longest name of a principal, in characters: subjects of JWTs are e-mail addresses and URLs. */
export const principalNameLengthMax = 256;

export const PrincipalName = Type.String({
  pattern: `^[\\x21-\\x7e]([\\x20-\\x7e]{0,${principalNameLengthMax - 2}}[\\x21-\\x7e])?$`,
  'x-expected': '1 to 256 printable ASCII characters',
});

export const TokenId = Type.String({ pattern: '^[0-9a-f]{16}$', 'x-expected': 'the id of a token' });

export const CreateToken = Strict({
  name: PrincipalName,
  grants: Grants,
  /** From now; without it the token does not expire. */
  expires: Type.Optional(Duration),
});
export type CreateToken = Static<typeof CreateToken>;

export const RotateToken = Strict({
  /** How long the old one stays valid beside the new one. Default 0: not at all. */
  overlap: Type.Optional(Duration),
  /** Of the new one, from now; without it the new one does not expire. */
  expires: Type.Optional(Duration),
});
export type RotateToken = Static<typeof RotateToken>;

/** A token as it is shown: never its secret, never its hash. */
export const TokenView = Type.Object({
  id: TokenId,
  name: Type.String(),
  grants: Type.Array(Grant),
  state: Word(['active', 'expired', 'revoked']),
  createdAt: Type.String(),
  createdBy: Type.String(),
  expiresAt: Type.Optional(Type.String()),
  revokedAt: Type.Optional(Type.String()),
  lastUsedAt: Type.Optional(Type.String()),
  lastUsedFrom: Type.Optional(Type.String()),
  /** The token that took its place. */
  replacedBy: Type.Optional(TokenId),
});
export type TokenView = Static<typeof TokenView>;

export const TokenList = Type.Object({ tokens: Type.Array(TokenView) });

/** The one answer that holds the secret. */
export const TokenCreated = Type.Object({
  ...TokenView.properties,
  token: Type.String({ description: 'Shown once: it is kept as a hash alone.' }),
});

export const RevokeSubject = Strict({ subject: PrincipalName });
export const SubjectRevoked = Type.Object({ subject: Type.String(), revokedBefore: Type.String() });

export const Session = Type.Object({
  name: Type.String(),
  id: Type.String(),
  grants: Type.Array(Grant),
  ownNamespace: Type.String(),
  via: Word(['bearer', 'cookie']),
  /** Goes into the header `x-csrf-token` of what changes something; only with a cookie. */
  csrfToken: Type.Optional(Type.String()),
});
