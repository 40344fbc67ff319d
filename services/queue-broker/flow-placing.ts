import type { FlowMember, ItemPlace } from './core/flow-facts.ts';
import type { PlacingMember } from './core/flow-messages.ts';
import type { FlowCourier } from './flow-courier.ts';
import { enqueueBytes } from './log-bytes.ts';

/** Bytes of items that one message makes: a large flow must not keep a partition from its other callers. */
const messageBytesMax = 524_288;

/**
 * Makes the items of a flow below its root, level by level: a child is made with its parent's id.
 * @returns their ids by their numbers, from 1; undefined when some could not be made yet. Those that were are found
 *   again by the next try
 */
export async function placeMembers(
  courier: FlowCourier,
  root: ItemPlace,
  members: readonly FlowMember[],
): Promise<readonly string[] | undefined> {
  const children = numbersByParent(members);
  const places: ItemPlace[] = [root];
  let level = children.get(0) ?? [];
  while (level.length > 0) {
    const placing = level.map((number) => placingMember(number, members, places, children));
    const answers = await Promise.all(
      messagesOf(courier, placing).map(async ({ partition, members: some }) => ({
        some,
        answer: await courier.ask(partition, 'place', { root: root.id, members: some }),
      })),
    );
    for (const { some, answer } of answers) {
      if (!answer.ok) return undefined;
      for (const [at, id] of answer.value.ids.entries()) notePlace(places, some[at], id);
    }
    level = level.flatMap((number) => children.get(number) ?? []);
  }
  return places.slice(1).map(({ id }) => id);
}

function notePlace(places: ItemPlace[], placed: PlacingMember | undefined, id: string): void {
  if (placed !== undefined) places[placed.number] = { queue: placed.member.queue, id };
}

function placingMember(
  number: number,
  members: readonly FlowMember[],
  places: readonly ItemPlace[],
  children: ReadonlyMap<number, readonly number[]>,
): PlacingMember {
  const member = members[number - 1];
  const parent = member === undefined ? undefined : places[member.parent];
  if (member === undefined || parent === undefined)
    throw new Error(`member ${number} of a flow has no parent`);
  const childQueues = (children.get(number) ?? []).map((child) => members[child - 1]?.queue ?? '');
  return { number, member, parent: { ...parent, index: member.index }, childQueues };
}

/** The members of each partition, in parts that are not too large. */
function messagesOf(courier: FlowCourier, placing: readonly PlacingMember[]) {
  const messages: { readonly partition: number; readonly members: PlacingMember[] }[] = [];
  const open = new Map<number, { readonly members: PlacingMember[]; bytes: number }>();
  for (const one of placing) {
    const partition = courier.partitionOf(one.member.queue);
    const bytes = enqueueBytes(one.member);
    let message = open.get(partition);
    if (message === undefined || message.bytes + bytes > messageBytesMax) {
      message = { members: [], bytes: 0 };
      open.set(partition, message);
      messages.push({ partition, members: message.members });
    }
    message.members.push(one);
    message.bytes += bytes;
  }
  return messages;
}

function numbersByParent(members: readonly FlowMember[]): ReadonlyMap<number, readonly number[]> {
  const numbers = new Map<number, number[]>();
  for (const [at, { parent }] of members.entries()) {
    const siblings = numbers.get(parent) ?? [];
    numbers.set(parent, siblings);
    siblings.push(at + 1);
  }
  return numbers;
}
