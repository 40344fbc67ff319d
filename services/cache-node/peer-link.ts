import { decode, encode, msgpack } from '#shared/protocol/encoding.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { type Msg, type Nats, type Subscription, subscribe } from '#shared/runtime/nats.ts';
import type { PeerNews, Peers } from './cluster-node-options.ts';
import type { FetchReply, FetchRequest } from './hand-over.ts';

/** How long a node may take to answer another one, in milliseconds: it may have a large piece to write. */
const answerMsMax = 2_000;

/** What the nodes ask each other, beside what they send on. */
export interface PeerQuestions {
  /** Another node fetches slots from this one. */
  give(request: FetchRequest): Promise<FetchReply>;
  /** The question of another node's operation on all nodes; the answer is anything that MessagePack can write. */
  answer(question: unknown): Promise<unknown>;
  hear(news: PeerNews): void;
  /** A request that another node sent on: the tokens behind `forward`. */
  forwarded(message: Msg, tokens: readonly string[]): void;
}

/** Cache nodes speaking to each other over subjects that are closed to everybody else. MessagePack, between equals. */
export class PeerLink implements Peers {
  readonly #nats: Nats;
  readonly #subjects: Subjects;

  constructor(nats: Nats, subjects: Subjects) {
    this.#nats = nats;
    this.#subjects = subjects;
  }

  get messageBytesMax(): number | undefined {
    return this.#nats.connection.info?.max_payload;
  }

  async fetch(node: string, request: FetchRequest): Promise<FetchReply> {
    return (await this.#ask(this.#subjects.cachePeer(node, 'ask', 'fetch'), request)) as FetchReply;
  }

  /** Asks one node; rejects when it does not answer. */
  ask(node: string, question: unknown): Promise<unknown> {
    return this.#ask(this.#subjects.cachePeer(node, 'ask', 'all'), question);
  }

  tell(news: PeerNews): void {
    if (!this.#nats.connection.isClosed())
      this.#nats.connection.publish(this.#subjects.cachePeerNews, encode(news, msgpack));
  }

  /** Hears what everybody is told. */
  listen(questions: PeerQuestions): Subscription {
    return subscribe(this.#nats, this.#subjects.cachePeerNews, {}, (message) =>
      questions.hear(valueOf(message) as PeerNews),
    );
  }

  /** Hears what is for the node `id`. */
  listenAs(id: string, questions: PeerQuestions): Subscription {
    const verbAt = this.#subjects.cachePeerAll(id).split('.').length - 1;
    return subscribe(this.#nats, this.#subjects.cachePeerAll(id), {}, (message) => {
      const [verb, ...tokens] = message.subject.split('.').slice(verbAt);
      if (verb === 'forward') questions.forwarded(message, tokens);
      else void this.#reply(message, tokens[0] === 'fetch', questions);
    });
  }

  async #reply(message: Msg, isFetch: boolean, questions: PeerQuestions): Promise<void> {
    try {
      const question = valueOf(message);
      const answer = isFetch ? questions.give(question as FetchRequest) : questions.answer(question);
      message.respond(encode(await answer, msgpack));
    } catch (error) {
      // Left without an answer: the other node asks again.
      this.#nats.log?.error({ err: error }, 'the question of another cache node could not be answered');
    }
  }

  async #ask(subject: string, question: unknown): Promise<unknown> {
    const reply = await this.#nats.connection.request(subject, encode(question, msgpack), {
      timeout: answerMsMax,
    });
    return valueOf(reply);
  }
}

function valueOf(message: Msg): unknown {
  const decoded = decode(message.data, msgpack);
  if (!decoded.ok) throw new Error(`another cache node sent what cannot be read: ${decoded.error.message}`);
  return decoded.value;
}
