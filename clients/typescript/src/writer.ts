/**
 * Who owns a stream's numbering can send anything twice without its being learned twice.
 *
 * 1. The next `seq` is asked of the service once, then counted here.
 * 2. Every observation is sent with its `seq`, so lost replies and 503s are simply sent again; a duplicate after such
 *    doubt is the success of an earlier attempt. A duplicate without doubt means a second writer.
 * 3. An observation that the service refuses takes no `seq`; what follows it is numbered anew and sent again.
 * 4. If a call fails for good while in doubt, its observations are kept: the same ones again get the same numbers;
 *    with others, the service is asked what it learned.
 * 5. Calls take their turn: those made at once are sent one after the other.
 */

import { type Observations, chunked, merge, nothing, rest } from "./batches.js";
import { UoroError } from "./errors.js";
import type { BatchReply, Observation, Refusal, Reply, StreamInfo, Timestamp, Value } from "./types.js";
import { type Call, NDJSON_TYPE, type Wire, encode, streamPath } from "./wire.js";

interface Place {
  nextSeq: number;
  /** Observations sent from `nextSeq` on whose fate is unknown, as JSON. */
  doubtful: string[];
}

/** Posts to one stream under numbers of its own; made by `Client.writer`. One writer a stream. */
export class Writer {
  private place: Place | null = null;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly wire: Wire,
    readonly stream: string,
  ) {}

  /** The next `seq`, or null before the first post. */
  get nextSeq(): number | null {
    return this.place?.nextSeq ?? null;
  }

  /** Begin at a known `seq` instead of asking the service. */
  startAt(seq: number): void {
    if (!(Number.isSafeInteger(seq) && seq >= 1)) throw new RangeError(`a seq begins at 1, not ${seq}`);
    this.place = { nextSeq: seq, doubtful: [] };
  }

  /** Post one observation; it is predicted, then learned. */
  async observe(x: Record<string, Value>, { t }: { t?: Timestamp } = {}): Promise<Reply> {
    const observation: Observation = t === undefined ? { x } : { x, t };
    return this.inTurn(async () => {
      const sent = [encode(observation)];
      const isRepeat = await this.settle(sent);
      const { nextSeq } = this.place!;
      try {
        const { value, wasInDoubt } = await this.wire.deliver<Reply>(
          observeCall(this.stream, { ...observation, seq: nextSeq }),
        );
        this.claim(value.duplicate ? 1 : 0, isRepeat || wasInDoubt);
        this.advance(1);
        return value;
      } catch (error) {
        throw this.remember(error, sent);
      }
    });
  }

  /** Post observations in order, in chunks of 1,000; refused ones are left out and take no number. */
  async observeMany(observations: Observations, { full = false }: { full?: boolean } = {}): Promise<BatchReply> {
    return this.inTurn(async () => {
      const chunks = chunked(observations);
      let total = nothing();
      let posted = 0;
      for (;;) {
        const { value: chunk, done } = await chunks.next();
        if (done) return total;
        let positions = chunk.map((_, index) => index);
        while (positions.length) {
          const left = positions.map((position) => chunk[position]!);
          try {
            const round = await this.round(left, full);
            const errors = round.refused.map((refusal) => ({ ...refusal, index: positions[refusal.index]! }));
            total = merge(total, { ...round.reply, errors, rejected: errors.length }, posted);
            positions = round.again.map((index) => positions[index]!);
          } catch (error) {
            if (error instanceof UoroError) Object.assign(error, { partial: total, remaining: rest(left, chunks) });
            throw error;
          }
        }
        posted += chunk.length;
      }
    });
  }

  /** Post a chunk once: the reply, what is refused for good, and the indices to send again. */
  private async round(
    chunk: Observation[],
    full: boolean,
  ): Promise<{ reply: BatchReply; refused: Refusal[]; again: number[] }> {
    const sent = chunk.map(encode);
    const isRepeat = await this.settle(sent);
    const first = this.place!.nextSeq;
    const lines = chunk.map((observation, index) => encode({ ...observation, seq: first + index }));
    try {
      const { value: reply, wasInDoubt } = await this.wire.deliver<BatchReply>(
        manyCall(this.stream, lines, full, true),
      );
      this.claim(reply.duplicates, isRepeat || wasInDoubt);
      const taken = Math.min(reply.accepted + reply.duplicates, chunk.length);
      this.advance(taken);
      const refused = reply.errors.filter((refusal) => refusal.code !== "out_of_sequence");
      const gap = reply.errors.find((refusal) => refusal.code === "out_of_sequence" && refusal.index === taken);
      if (gap !== undefined)
        throw new UoroError(gap.code, gap.detail, { status: 409, problem: { expected_seq: gap.expected_seq ?? null } });
      const gone = new Set(refused.map((refusal) => refusal.index));
      const again = chunk.map((_, index) => index).filter((index) => index >= taken && !gone.has(index));
      if (again.length === chunk.length)
        throw new UoroError("unexpected_reply", "none was taken, and none refused for a reason of its own");
      return { reply, refused, again };
    } catch (error) {
      throw this.remember(error, sent);
    }
  }

  /** Make sure of the next `seq`; true if the observations repeat those that are in doubt. */
  private async settle(sent: string[]): Promise<boolean> {
    if (this.place !== null) {
      const { doubtful } = this.place;
      if (!doubtful.length) return false;
      const num = Math.min(sent.length, doubtful.length);
      if (sent.slice(0, num).every((json, index) => json === doubtful[index])) return true;
    }
    try {
      const { last_seq } = await this.wire.send<StreamInfo>({ method: "GET", path: streamPath(this.stream) });
      this.place = { nextSeq: last_seq + 1, doubtful: [] };
    } catch (error) {
      if (!(error instanceof UoroError && error.code === "unknown_stream")) throw error;
      this.place = { nextSeq: 1, doubtful: [] };
    }
    return false;
  }

  private claim(duplicates: number, isExplained: boolean): void {
    if (!duplicates || isExplained) return;
    throw new UoroError(
      "sequence_taken",
      `${duplicates} numbers of stream ${this.stream} were learned from someone else's observations`,
    );
  }

  private advance(num: number): void {
    const { nextSeq, doubtful } = this.place!;
    this.place = { nextSeq: nextSeq + num, doubtful: doubtful.slice(num) };
  }

  /** Keep what may have been taken; forget the number where it proved to be another. */
  private remember(error: unknown, sent: string[]): unknown {
    if (!(error instanceof UoroError)) return error;
    const isAnother = error.code === "out_of_sequence" || error.code === "sequence_taken";
    if (isAnother || (error.code === "unexpected_reply" && !error.isInDoubt)) this.place = null;
    else if (error.isInDoubt && this.place !== null && sent.length > this.place.doubtful.length)
      this.place.doubtful = sent;
    return error;
  }

  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(act);
    this.turn = mine.catch(() => undefined);
    return mine;
  }
}

/** One observation; with its `seq` it may be sent again. */
export function observeCall(stream: string, observation: Observation): Call {
  return {
    method: "POST",
    path: streamPath(stream, "observations"),
    body: encode(observation),
    isRepeatable: observation.seq !== undefined,
  };
}

/** Several observations of one stream, as lines of JSON. */
export function manyCall(stream: string, lines: string[], full: boolean, isRepeatable: boolean): Call {
  return {
    method: "POST",
    path: streamPath(stream, "observations"),
    body: lines.join("\n"),
    contentType: NDJSON_TYPE,
    isRepeatable,
    ...(full ? { query: { results: "full" } } : {}),
  };
}
