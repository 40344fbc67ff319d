import { type Refusal, type Result, accept } from '#shared/protocol/errors.ts';
import { type Answer } from './endpoint.ts';
import { valueOf } from './ask.ts';
import { authorize } from './core/authorization.ts';
import type { Operation } from './core/operations.ts';
import type { Principal } from './core/principal.ts';

type OwnerOf = (queue: string, itemId: string) => Promise<Result<string | undefined>>;

/** Who enqueued what, and where. */
export interface Enqueueing {
  readonly principal: Principal | undefined;
  readonly operation: Operation;
  readonly queue: string;
}

/** What an enqueue answers of one item. */
interface Told {
  readonly id?: string;
  readonly duplicate?: boolean;
  readonly replaced?: boolean;
}

const taken: Refusal = { code: 'conflict', message: 'an item of another owner has this key already' };

/**
 * A key that stands for an item already is answered with that item. Whoever may have his own items alone must not learn
 * another's id and state by its key, nor take it for his own, which would never be done.
 */
export class Duplicates {
  readonly #ownerOf: OwnerOf;

  constructor(ownerOf: OwnerOf) {
    this.#ownerOf = ownerOf;
  }

  /** The refusal that stands for this answer, or undefined where it may be told. Nothing was changed by a duplicate. */
  async refusal(asked: Enqueueing, { id, duplicate, replaced }: Told): Promise<Refusal | undefined> {
    if (id === undefined || duplicate !== true || replaced === true || mayHave(asked, '')) return undefined;
    const owner = await this.#ownerOf(asked.queue, id);
    // It is gone, and nobody knows any more whose it was.
    if (!owner.ok) return owner.error.code === 'not_found' ? undefined : owner.error;
    return mayHave(asked, owner.value ?? '') ? undefined : taken;
  }

  /** The same of an answer to `enqueue-many`, item by item, or to `enqueue-flow`. */
  async withoutOthers(asked: Enqueueing, answer: Answer): Promise<Result<Answer>> {
    if (mayHave(asked, '')) return accept(answer);
    const told = valueOf(answer) as Told & { readonly items?: readonly Told[] };
    if (told.items === undefined) {
      const error = await this.refusal(asked, told);
      return error === undefined ? accept(answer) : { ok: false, error };
    }
    const items: (Told | { readonly error: Refusal })[] = [];
    // One after another: a batch may have a thousand, and all at once would be as many questions to one broker.
    let unanswered: Refusal | undefined;
    for (const one of told.items) {
      // Where one question was not answered the next is not asked: each may take as long as a reply may.
      const isOld = one.duplicate === true && one.replaced !== true;
      const error = isOld ? (unanswered ?? (await this.refusal(asked, one))) : undefined;
      if (error !== taken) unanswered ??= error;
      items.push(error === undefined ? one : { error });
    }
    const { headers } = answer;
    return accept({ status: answer.status, ...(headers === undefined ? {} : { headers }), body: { items } });
  }
}

/** Whether he may have an item of this owner as the one that he enqueued. */
const mayHave = ({ principal, operation, queue }: Enqueueing, owner: string): boolean =>
  principal === undefined || authorize(principal, operation, { kind: 'queue', name: queue, owner }).allowed;
