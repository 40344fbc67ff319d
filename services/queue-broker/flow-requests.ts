import type { Encoding } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { flowItemsMax, flowLevelsMax } from '#shared/protocol/limits.ts';
import type { Owners } from '#shared/protocol/owner.ts';
import { EnqueueFlow, FlowChild, type OnChildFailure } from '#shared/protocol/queue-more-schemas.ts';
import type { EnqueueOptions } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { FlowRequest } from './core/flow-decisions.ts';
import type { FlowMember } from './core/flow-facts.ts';
import type { Family } from './core/item.ts';
import { type ItemOptions, readEnqueueOptions } from './core/item-options.ts';
import { tooLarge } from './core/queue-room.ts';
import { type Payload, valuePayload } from './payload.ts';

// The door of `enqueue-flow`: a tree comes in as `unknown` and leaves as a list in which parents stand before their
// children. A fault anywhere refuses the whole, and names its field by its path from the root.

const checkFlow = validator(EnqueueFlow);
const checkChild = validator(FlowChild);

/** How content is read, besides what it says itself. */
interface Rules {
  readonly encoding: Encoding;
  /** Of every item of the tree. */
  readonly owners: Owners;
  /** Of each item. */
  readonly payloadBytesMax: number;
}

export function readFlow(queue: string, body: unknown, rules: Rules): Result<FlowRequest> {
  const checked = checkFlow(body);
  if (!checked.ok) return checked;
  const { payload, onChildFailure, children, ...options } = checked.value;
  const content = readContent(payload, options, rules);
  if (!content.ok) return content;
  const members: FlowMember[] = [];
  const fault = readChildren(children, { parent: 0, path: '', level: 2 }, { members, rules });
  if (fault !== undefined) return { ok: false, error: fault };
  const family = familyOf(children.length, members.length, onChildFailure);
  return accept({ root: { queue, ...content.value }, family, members });
}

/** What has been read so far. */
interface Reading {
  readonly members: FlowMember[];
  readonly rules: Rules;
}

/** Where children stand: below which member, at which path, and how deep. */
interface Below {
  readonly parent: number;
  readonly path: string;
  readonly level: number;
}

function readChildren(children: readonly unknown[], below: Below, reading: Reading): Refusal | undefined {
  for (const [index, child] of children.entries()) {
    const path = below.path === '' ? `children[${index}]` : `${below.path}.children[${index}]`;
    const fault = readChild(child, index, { ...below, path }, reading);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function readChild(child: unknown, index: number, place: Below, reading: Reading): Refusal | undefined {
  const { path, level, parent } = place;
  const { members, rules } = reading;
  if (level > flowLevelsMax)
    return refuseField(path, `is on level ${level} of at most ${flowLevelsMax}`).error;
  if (members.length + 1 >= flowItemsMax)
    return refuseField(path, `is one too many: a flow has at most ${flowItemsMax} items`).error;
  const checked = checkChild(child);
  if (!checked.ok) return within(path, checked.error);
  const { queue, payload, onChildFailure, children = [], ...options } = checked.value;
  const content = readContent(payload, options, rules);
  if (!content.ok) return within(path, content.error);
  const member: FlowMember = { queue, ...content.value, parent, index };
  const number = members.push(member);
  const fault = readChildren(children, { parent: number, path, level: level + 1 }, reading);
  if (fault !== undefined || children.length === 0) return fault;
  const family = familyOf(children.length, members.length - number, onChildFailure);
  members[number - 1] = { ...member, family };
  return undefined;
}

function readContent(
  payload: unknown,
  options: EnqueueOptions,
  { encoding, owners, ...limits }: Rules,
): Result<Payload & { readonly options: ItemOptions }> {
  const read = readEnqueueOptions(options, owners);
  if (!read.ok) return read;
  const value = valuePayload(payload, encoding);
  if (!value.ok) return value;
  const fault = tooLarge(value.value.payload, limits);
  return fault !== undefined ? { ok: false, error: fault } : accept({ ...value.value, options: read.value });
}

const familyOf = (children: number, below: number, onChildFailure: OnChildFailure = 'fail'): Family => ({
  children,
  below,
  onChildFailure,
});

/** A fault in one item of the tree names its place. */
function within(path: string, fault: Refusal): Refusal {
  const field = String(fault.details?.['field'] ?? '');
  const place = field === 'body' ? path : `${path}.${field}`;
  return {
    ...fault,
    message: place + fault.message.slice(field.length),
    details: { ...fault.details, field: place },
  };
}
