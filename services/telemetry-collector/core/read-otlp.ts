import { type Encoding, decodeExactly, json, mediaTypeOf } from '#shared/protocol/encoding.ts';
import { checkItems } from './otlp-check.ts';
import { type Chunk, type Signal, chosen, chunksOf, requestOf } from './otlp-chunks.ts';
import { OtlpJsonFault, bytesOfRequest } from './otlp-json.ts';
import { ruledItems } from './otlp-items.ts';
import { ProtobufFault } from './protobuf.ts';
import { type DeadLetter, type ReadMessage, noneKnown, unreadable } from './reading.ts';
import type { Rules } from './rules.ts';

const protobuf = 'application/x-protobuf';

export interface OtlpBody {
  readonly signal: Signal;
  readonly contentType: string | undefined;
  readonly body: Uint8Array;
}

/**
 * Takes an OTLP request apart, sets apart what no receiver could read, and applies the rules. An item counts as a
 * record: a log record, a span or a metric. Never throws.
 */
export function readOtlp(
  message: OtlpBody,
  context: { readonly rules: Rules; readonly sequence: number },
): ReadMessage {
  const { signal } = message;
  const bytes = protobufOf(message);
  if ('problem' in bytes) return unreadableBody(message, bytes.problem);
  try {
    const all = chunksOf(bytes.body);
    const { chunks, broken } = checkItems(signal, all);
    const { rules, sequence } = context;
    const ruled = rules.leavesOtlp
      ? { chunks, filtered: 0, sampled: 0 }
      : ruledItems(signal, chunks, rules, sequence);
    return {
      kind: 'otlp',
      kept: [],
      known: noneKnown,
      dead: broken.map(({ place, problem, body }) => letterOf(place, 'invalid_record', problem, body)),
      filtered: ruled.filtered,
      sampled: ruled.sampled,
      otlp: { signal, chunks: ruled.chunks },
      isBodyHeld: true,
      lettersOf: (places, reason, problem) =>
        places.map((place) => letterOf(place, reason, problem, requestOf(only(all, place)))),
    };
  } catch (error) {
    if (error instanceof ProtobufFault)
      return unreadableBody(message, `it is no OTLP request: ${error.message}`);
    throw error;
  }
}

const only = (chunks: readonly Chunk[], wanted: number): readonly Chunk[] =>
  chosen(chunks, (place) => place === wanted);

function protobufOf({
  signal,
  contentType,
  body,
}: OtlpBody): { readonly body: Uint8Array } | { readonly problem: string } {
  if (mediaTypeOf(contentType) !== json) return { body };
  const decoded = decodeExactly(body, json satisfies Encoding);
  if (!decoded.ok) return { problem: decoded.error.message };
  try {
    return { body: bytesOfRequest(signal, decoded.value) };
  } catch (error) {
    if (error instanceof OtlpJsonFault) return { problem: error.message };
    throw error;
  }
}

const letterOf = (
  index: number,
  reason: DeadLetter['reason'],
  message: string,
  body: Uint8Array,
): DeadLetter => ({ reason, message, index, contentType: protobuf, body });

const unreadableBody = ({ contentType, body }: OtlpBody, message: string): ReadMessage =>
  unreadable('otlp', {
    reason: 'undecodable',
    message,
    index: undefined,
    contentType: contentType ?? protobuf,
    body,
  });
