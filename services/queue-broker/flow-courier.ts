import { type Result, accept } from '#shared/protocol/errors.ts';
import { partitionOf } from '#shared/protocol/partition.ts';
import { decideMessage } from './core/flow-decisions.ts';
import type { FlowMessageKind, FlowMessages } from './core/flow-messages.ts';
import type { Turn } from './core/turn.ts';
import { enqueueBytes, itemBytes } from './log-bytes.ts';
import type { Room, Work } from './work.ts';

/** A partition, as far as flows are concerned. */
export interface FlowPartition {
  submit(work: Work): void;
}

/**
 * Carries messages of flows from one partition to another. All partitions are in this process today; nothing but this
 * file would have to know if they were not.
 */
export class FlowCourier {
  readonly #partitions: readonly FlowPartition[];

  constructor(partitions: readonly FlowPartition[]) {
    this.#partitions = partitions;
  }

  /** The partition of a queue. */
  partitionOf(queue: string): number {
    return partitionOf(queue, this.#partitions.length);
  }

  /** Asks a partition; resolves once what it decided is durable. A refusal may be followed by the same message again. */
  ask<K extends FlowMessageKind>(
    partition: number,
    kind: K,
    ask: FlowMessages[K]['ask'],
  ): Promise<Result<FlowMessages[K]['answer']>> {
    const size = { room: rooms[kind], bytes: bytesOf[kind](ask) };
    return this.decide(partition, size, (turn) => decideMessage(turn, kind, ask));
  }

  /** Has something decided in a turn of a partition; resolves once it is durable. */
  decide<T>(
    partition: number,
    size: { readonly room: Room; readonly bytes: number },
    decide: (turn: Turn) => T,
  ): Promise<Result<T>> {
    return new Promise((resolve) => {
      const refuse: Work['refuse'] = (error) => resolve({ ok: false, error });
      const owner = this.#partitions[partition];
      if (owner === undefined) return refuse({ code: 'not_found', message: `no partition ${partition}` });
      owner.submit({
        ...size,
        decide: (turn) => {
          const value = decide(turn);
          return () => resolve(accept(value));
        },
        refuse,
      });
    });
  }
}

const rooms: Readonly<Record<FlowMessageKind, Room>> = {
  place: 'new-items',
  release: 'always',
  end: 'always',
  cancel: 'always',
  states: 'nothing',
};

/** Bytes of an item's queue and id, wherever they are named. */
export const placeBytes = 128;

const bytesOf: { readonly [K in FlowMessageKind]: (ask: FlowMessages[K]['ask']) => number } = {
  place: ({ members }) =>
    members.reduce(
      (sum, { member, childQueues }) => sum + enqueueBytes(member) + placeBytes * (1 + childQueues.length),
      0,
    ),
  release: ({ members }) =>
    members.reduce((sum, { children = [] }) => sum + itemBytes + placeBytes * children.length, 0),
  end: ({ endings }) =>
    endings.reduce(
      (sum, { result, error }) => sum + 2 * itemBytes + (result?.length ?? 0) + textBytes(error),
      0,
    ),
  cancel: ({ items }) => items.length * itemBytes,
  states: () => 0,
};

const textBytes = (error: { readonly message: string; readonly type?: string } | undefined): number =>
  ((error?.message.length ?? 0) + (error?.type?.length ?? 0)) * 3 * 2;
