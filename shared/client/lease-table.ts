/** Longest item id that a slot holds, in characters of ASCII; the wire's ids have 17 at most. */
const idLengthMax = 31;
/** Bytes of a slot's id: its length, then its characters. */
const idBytes = idLengthMax + 1;
const slotBytes = 8 + 4 + idBytes;

/** One lease, as the thread that renews it reads it. */
export interface HeldLease {
  readonly slot: number;
  /** Tells this lease from the earlier and later ones of its slot. */
  readonly generation: number;
  readonly id: string;
  readonly token: number;
}

/**
 * The leases that one worker holds, in memory that two threads share: the worker writes down what it has leased and
 * strikes out what it has settled, the thread that keeps leases reads. So neither sends the other a message for a job,
 * and a worker whose thread is blocked is read all the same.
 *
 * A slot is free when its generation is 0. The reader may see a slot while it changes; what it makes of that carries
 * the generation, and the worker ignores what is said of a generation that has gone (`holds`).
 */
export class LeaseTable {
  readonly memory: SharedArrayBuffer;
  readonly slots: number;
  readonly #tokens: Float64Array;
  readonly #generations: Int32Array;
  readonly #ids: Uint8Array;
  readonly #free: number[] = [];
  #newest = 0;

  /** @param memory of another thread's table, to read it; or the number of slots of a new one, from 1 */
  constructor(memory: SharedArrayBuffer | number) {
    this.memory = typeof memory === 'number' ? new SharedArrayBuffer(memory * slotBytes) : memory;
    this.slots = this.memory.byteLength / slotBytes;
    this.#tokens = new Float64Array(this.memory, 0, this.slots);
    this.#generations = new Int32Array(this.memory, 8 * this.slots, this.slots);
    this.#ids = new Uint8Array(this.memory, 12 * this.slots);
    for (let slot = this.slots - 1; slot >= 0; slot -= 1) this.#free.push(slot);
  }

  /** Writes a lease down. Returns its slot; undefined when every slot is taken. */
  hold(id: string, token: number): number | undefined {
    if (id.length > idLengthMax) return undefined;
    const slot = this.#free.pop();
    if (slot === undefined) return undefined;
    this.#tokens[slot] = token;
    let at = slot * idBytes;
    this.#ids[at] = id.length;
    for (let index = 0; index < id.length; index += 1) this.#ids[(at += 1)] = id.charCodeAt(index);
    this.#newest = this.#newest === 0x7f_ff_ff_ff ? 1 : this.#newest + 1;
    Atomics.store(this.#generations, slot, this.#newest);
    return slot;
  }

  /** Strikes a lease out. */
  drop(slot: number): void {
    Atomics.store(this.#generations, slot, 0);
    this.#free.push(slot);
  }

  /** The slot's generation; 0 when it is free. */
  generation(slot: number): number {
    return Atomics.load(this.#generations, slot);
  }

  holds(slot: number, generation: number): boolean {
    return generation !== 0 && this.generation(slot) === generation;
  }

  /** The lease in a slot; undefined when it is free, or changes while it is read. */
  read(slot: number): HeldLease | undefined {
    const generation = this.generation(slot);
    if (generation === 0) return undefined;
    const token = this.#tokens[slot] ?? 0;
    const from = slot * idBytes + 1;
    const id = String.fromCharCode(...this.#ids.subarray(from, from + (this.#ids[from - 1] ?? 0)));
    return this.holds(slot, generation) ? { slot, generation, id, token } : undefined;
  }
}
