import { expect, test } from 'vitest';
import type { Namespace } from '#services/cache-node/core/namespace.ts';
import { Namespaces } from '#services/cache-node/core/namespaces.ts';
import { NodeContents } from '#services/cache-node/slot-contents.ts';
import { slotOf } from '#shared/protocol/cache-slots.ts';
import { cacheTagsMax } from '#shared/protocol/limits.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { madeNamespace, setOf, valueOf } from './made-namespace.ts';

const clock = new VirtualClock();
const waiter = { answer: () => undefined };
const asked = { leaseMs: 30_000, waitMs: 0, waiter };

/** Two nodes' contents, whose versions count on after each other. */
function aNode() {
  let version = 0;
  const versions = {
    next: () => (version += 1),
    raise: (seen: number) => {
      version = Math.max(version, seen);
    },
  };
  const options = { versions, bytesMax: 2 ** 30, epoch: 'e', random01: () => 0.5 };
  const namespaces = new Namespaces({ ...options, hashSecret: [1, 2] });
  const opened = namespaces.open('n');
  if (!opened.ok) throw new Error('no namespace');
  const namespace: Namespace = opened.value;
  const contents = new NodeContents({
    namespaces: () => namespaces,
    clock,
    tierOf: () => undefined,
    fileOf: () => undefined,
    wallMs: (ms) => ms,
    dismissed: (one, isGoing) => one.fills.close(isGoing),
    clear: () => undefined,
  });
  return { namespace, contents, versions };
}

test.each([true, false])(
  'a right goes along unless a tag was invalidated since it was given: %s',
  (isOutdated) => {
    const [before, behind] = [aNode(), aNode()];
    const granted = before.namespace.load('k', asked, 0);
    if (granted?.kind !== 'granted') throw new Error('no right');
    // Both nodes are asked, as `invalidate-tags` does: the other one fills nothing, and has nothing with that tag.
    if (isOutdated) for (const { namespace } of [before, behind]) namespace.invalidateTags(['t']);
    const slot = slotOf('n', 'k');
    for (const piece of before.contents.take(slot, 1_000_000)) behind.contents.admit(piece, 0);
    behind.versions.raise(1_000);
    const set = behind.namespace.set(setOf('k', 'old', { tags: ['t'], loadToken: granted.right.token }), 1);
    expect(set.ok).toBe(!isOutdated);
    expect(valueOf(behind.namespace.get('k', 1))).toBe(isOutdated ? undefined : 'old');
  },
);

test('tags that are invalidated while keys are filled are remembered in bounded room, and none is passed over', () => {
  const namespace = madeNamespace();
  const granted = namespace.load('k', asked, 0);
  if (granted?.kind !== 'granted') throw new Error('no right');
  for (let n = 0; n <= cacheTagsMax; n += 1) namespace.invalidateTags([`t${n}`]);
  const tags = [`t${cacheTagsMax}`];
  expect(namespace.set(setOf('k', 'old', { tags, loadToken: granted.right.token }), 1).ok).toBe(false);
  const next = namespace.load('k', asked, 1);
  if (next?.kind !== 'granted') throw new Error('no right');
  expect(namespace.set(setOf('k', 'new', { tags, loadToken: next.right.token }), 1).ok).toBe(true);
});
