/** Observations in chunks, and the replies to chunks as one. Pure. */

import type { BatchReply, Observation } from "./types.js";

export const MAX_CHUNK_OBSERVATIONS = 1000;
const MAX_ERRORS_KEPT = 100;

/** Several observations, as they come; a bare `x` will not do. */
export type Observations<T extends Observation = Observation> = Iterable<T> | AsyncIterable<T>;

/** Chunks that the service takes in one request. */
export async function* chunked<T extends Observation>(observations: Observations<T>): AsyncGenerator<T[]> {
  let chunk: T[] = [];
  for await (const observation of observations) {
    chunk.push(observation);
    if (chunk.length === MAX_CHUNK_OBSERVATIONS) {
      yield chunk;
      chunk = [];
    }
  }
  if (chunk.length) yield chunk;
}

/** What is left of a chunk, and the chunks after it. */
export async function* rest<T extends Observation>(left: T[], chunks: AsyncIterable<T[]>): AsyncGenerator<T> {
  yield* left;
  for await (const chunk of chunks) yield* chunk;
}

export function nothing(): BatchReply {
  return { accepted: 0, duplicates: 0, rejected: 0, errors: [], loss: null };
}

/** Two chunks' replies as one; `offset` is how many observations came before the second chunk. */
export function merge(one: BatchReply, two: BatchReply, offset: number): BatchReply {
  const weights = [one, two].map((reply) => (reply.loss === null ? 0 : reply.accepted));
  const weight = weights[0]! + weights[1]!;
  const merged: BatchReply = {
    accepted: one.accepted + two.accepted,
    duplicates: one.duplicates + two.duplicates,
    rejected: one.rejected + two.rejected,
    errors: [...one.errors, ...two.errors.map((refusal) => ({ ...refusal, index: refusal.index + offset }))].slice(
      0,
      MAX_ERRORS_KEPT,
    ),
    loss: weight ? ((one.loss ?? 0) * weights[0]! + (two.loss ?? 0) * weights[1]!) / weight : null,
    next: two.next ?? one.next ?? null,
  };
  if (one.results || two.results) merged.results = [...(one.results ?? []), ...(two.results ?? [])];
  if (one.streams || two.streams) {
    merged.streams = { ...one.streams };
    for (const [stream, share] of Object.entries(two.streams ?? {})) {
      merged.streams[stream] = {
        accepted: (one.streams?.[stream]?.accepted ?? 0) + share.accepted,
        last_seq: share.last_seq,
      };
    }
  }
  return merged;
}
