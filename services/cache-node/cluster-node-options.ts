import type { Clock } from '#shared/runtime/clock.ts';
import type { LeaseRecord, Owner } from '#shared/runtime/owner-lease.ts';
import type { NodeMap } from './core/node-map.ts';
import type { FetchReply, FetchRequest, SlotContents } from './hand-over.ts';
import type { MapRecord } from './map-keeper.ts';

/** What the nodes tell each other unasked. What is lost of it is made up for by reading the records. */
export interface PeerNews {
  readonly node: string;
  /** Revision of the node's lease, which it has just renewed. */
  readonly leaseRevision: number;
  /** Of the newest map that it knows. */
  readonly serial: number;
}

export interface Peers {
  /** Rejects when there is no answer. */
  fetch(node: string, request: FetchRequest): Promise<FetchReply>;
  tell(news: PeerNews): void;
  /** Most bytes of one message now. Left out: as where NATS takes 8 MB. */
  readonly messageBytesMax?: number | undefined;
}

export interface ClusterNodeOptions {
  /** Name of the process, stable over restarts. */
  readonly name: string;
  /** One run of the process. */
  readonly instance: string;
  /** A name for one membership that was never used: a token of a subject. */
  readonly newId: () => string;
  readonly clock: Clock;
  readonly leaseMs: number;
  /** How long slots wait for nodes that all left, and have them in their files, to come back. */
  readonly returnMs: number;
  readonly mapRecord: MapRecord;
  readonly leaseOf: (node: string) => LeaseRecord;
  readonly peers: Peers;
  readonly contents: SlotContents & { clear(): void };
  readonly events: {
    /** This node is in the map, as `id`: who asks for it there is to be answered. */
    readonly joined: (id: string) => void;
    /** Before anything else that follows from being in the map. @param filesSince versions up to which what files have is void */
    readonly entered: (id: string, filesSince: number) => void;
    /** It is in the map no more, and has forgotten everything. @param by the process that took its lease, where one did */
    readonly left: (by: Owner | undefined) => void;
    readonly mapChanged: (map: NodeMap) => void;
    /** Slots that it answers for from now on: fetched, or, where nobody was left to fetch from, with less or nothing in them. */
    readonly began: (slots: readonly number[], start: 'warm' | 'cold') => void;
    readonly failed: (error: unknown) => void;
  };
}
