import { createHash } from 'node:crypto';
import { Type } from 'typebox';
import type { Answer } from './endpoint.ts';
import { Refused } from './refused.ts';

/** Of `GET`: the tags that the caller has already, as RFC 9110 writes them. */
export const IfNoneMatch = Type.Object({
  'if-none-match': Type.Optional(Type.String({ description: 'Entity tags that the caller has, or *' })),
});

/** Gives an answer its tag, made from what it holds; 304 where the caller has it already. */
export function tagged(answer: Answer, ifNoneMatch: string | undefined, tag = digestOf(answer)): Answer {
  const headers = { ...answer.headers, ETag: tag };
  return isAmong(tag, ifNoneMatch) ? { status: 304, headers } : { ...answer, headers };
}

/** Weak: the same answer may be packed in one way or another. */
const digestOf = ({ json = '' }: Answer): string => tagOf(json);

const tagOf = (content: string | Uint8Array): string =>
  weakTag(createHash('sha256').update(content).digest('base64url').slice(0, 22));

/** A tag of somebody else as HTTP writes it. */
export const weakTag = (tag: string): string => `W/"${tag}"`;

/** What is to be changed is no longer what the caller knows. */
export const preconditionFailed = (what: string): Refused =>
  new Refused({ code: 'conflict', message: `${what} changed since they were read` }, 412);

/** True when `tag` is in the list, by the weak comparison, or the list is `*`. */
export function isAmong(tag: string, list: string | undefined): boolean {
  if (list === undefined) return false;
  if (list.trim() === '*') return true;
  const bare = tag.replace(/^W\//, '');
  return list.split(',').some((one) => one.trim().replace(/^W\//, '') === bare);
}

/** What stands in the one tag of an `If-Match`; undefined when there are several. */
export const onlyTagIn = (list: string): string | undefined => /^\s*(?:W\/)?"([^",]*)"\s*$/.exec(list)?.[1];

/** The version in a tag such as `"42"`; undefined when it is none of ours, or more than one. */
export function versionIn(tag: string): number | undefined {
  const digits = /^\s*"([0-9]{1,16})"\s*$/.exec(tag)?.[1];
  const version = Number(digits);
  return digits !== undefined && Number.isSafeInteger(version) ? version : undefined;
}
