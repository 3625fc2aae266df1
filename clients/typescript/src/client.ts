/** The client: every call of the service by its name. */

import { type Observations, chunked, merge, nothing, rest } from "./batches.js";
import { UoroError } from "./errors.js";
import { PATIENCE, type Patience } from "./retry.js";
import { Subscription } from "./subscription.js";
import type {
  BatchReply,
  Metrics,
  NamedObservation,
  Observation,
  Prediction,
  Reply,
  Result,
  Snapshot,
  Spec,
  StreamInfo,
  Timestamp,
  Value,
} from "./types.js";
import { NDJSON_TYPE, Wire, encode, streamPath } from "./wire.js";
import { Writer, manyCall, observeCall } from "./writer.js";

/** Results of a stream that the service keeps. */
const MAX_RECENT_RESULTS = 64;
const MAX_GLANCES = 100;

export interface ClientOptions {
  /** Sent as a bearer token, where the service asks for keys. */
  apiKey?: string;
  /** Seconds to wait for one reply; 30 if left out. */
  timeoutS?: number;
  /** How failed calls are tried again. */
  patience?: Partial<Patience>;
  /** Where there is no global one: Node 20 has it behind --experimental-websocket. */
  WebSocket?: typeof WebSocket;
}

/** Speaks to one service. All methods throw `UoroError`. */
export class Client {
  private readonly wire: Wire;
  private readonly timeoutS: number;
  private readonly make: typeof WebSocket | undefined;

  constructor(
    url = "http://127.0.0.1:8000",
    { apiKey, timeoutS = 30, patience = {}, WebSocket: make }: ClientOptions = {},
  ) {
    this.wire = new Wire(url, apiKey || null, { ...PATIENCE, ...patience }, timeoutS);
    this.timeoutS = timeoutS;
    this.make = make ?? globalThis.WebSocket;
  }

  /** Whether the service serves now, asked once; the reason why not. */
  async ready(): Promise<{ isReady: boolean; reason: string }> {
    try {
      await this.wire.exchange({ method: "GET", path: "/readyz" });
      return { isReady: true, reason: "" };
    } catch (error) {
      if (error instanceof UoroError && error.status === 503) return { isReady: false, reason: error.message };
      throw error;
    }
  }

  /** Create a stream; one with the same spec is answered as it is. */
  async create(stream: string, spec?: Spec, labels?: Record<string, string>): Promise<StreamInfo> {
    return this.wire.send({ method: "PUT", path: streamPath(stream), body: JSON.stringify({ spec, labels }) });
  }

  /** A stream's spec, labels and state. */
  async describe(stream: string): Promise<StreamInfo> {
    return this.wire.send({ method: "GET", path: streamPath(stream) });
  }

  /** All streams by id, fetched page by page; `glance` asks for losses, newest values and a trend of each. */
  async *list({
    prefix = "",
    labels = {},
    glance = false,
  }: { prefix?: string; labels?: Record<string, string>; glance?: boolean } = {}): AsyncGenerator<StreamInfo> {
    const query: Record<string, string | string[]> = { limit: String(glance ? MAX_GLANCES : 500) };
    if (glance) query["glance"] = "true";
    if (prefix) query["prefix"] = prefix;
    query["label"] = Object.entries(labels).map(([key, value]) => `${key}:${value}`);
    for (;;) {
      const page = await this.wire.send<{ streams: StreamInfo[]; next_cursor: string | null }>({
        method: "GET",
        path: "/v1/streams",
        query,
      });
      yield* page.streams;
      if (page.next_cursor === null) return;
      query["cursor"] = page.next_cursor;
    }
  }

  /** Forget a stream, its log and its snapshots. */
  async delete(stream: string): Promise<void> {
    await this.wire.send({ method: "DELETE", path: streamPath(stream), doneCode: "unknown_stream" });
  }

  /** Post one observation: predicted, then learned. Only with `seq` is it sent again when its fate is unknown. */
  async observe(
    stream: string,
    x: Record<string, Value>,
    { t, seq }: { t?: Timestamp; seq?: number } = {},
  ): Promise<Reply> {
    const observation: Observation = { x, ...(t === undefined ? {} : { t }), ...(seq === undefined ? {} : { seq }) };
    return this.wire.send(observeCall(stream, observation));
  }

  /** Post observations of one stream in order, in chunks of 1,000; `full` asks for every result. */
  async observeMany(
    stream: string,
    observations: Observations,
    { full = false }: { full?: boolean } = {},
  ): Promise<BatchReply> {
    return this.inChunks(observations, (chunk) =>
      this.wire.send(
        manyCall(
          stream,
          chunk.map(encode),
          full,
          chunk.every(({ seq }) => seq !== undefined),
        ),
      ),
    );
  }

  /** Post observations of several streams, each naming its own, in chunks of 1,000. */
  async observeStreams(
    observations: Observations<NamedObservation>,
    { full = false }: { full?: boolean } = {},
  ): Promise<BatchReply> {
    return this.inChunks(observations, (chunk) =>
      this.wire.send({
        method: "POST",
        path: "/v1/observations",
        body: chunk.map(encode).join("\n"),
        contentType: NDJSON_TYPE,
        isRepeatable: chunk.every(({ seq }) => seq !== undefined),
        ...(full ? { query: { results: "full" } } : {}),
      }),
    );
  }

  /** A writer that numbers what it posts to a stream, so that nothing is ever learned twice. */
  writer(stream: string): Writer {
    return new Writer(this.wire, stream);
  }

  /** The next `horizon` predictions, nearest first; none before the first observation. */
  async predict(stream: string, horizon = 1): Promise<Prediction[]> {
    const reply = await this.wire.send<{ predictions?: Prediction[] | null }>({
      method: "GET",
      path: streamPath(stream, "prediction"),
      query: { horizon: String(horizon) },
    });
    return reply.predictions ?? [];
  }

  /** How well a stream is predicted, next to the naive forecast. */
  async metrics(stream: string): Promise<Metrics> {
    return this.wire.send({ method: "GET", path: streamPath(stream, "metrics") });
  }

  /** The most recent results, newest last. */
  async results(stream: string, limit = 20): Promise<Result[]> {
    const path = streamPath(stream, "results");
    return (await this.wire.send<{ results: Result[] }>({ method: "GET", path, query: { limit: String(limit) } }))
      .results;
  }

  /**
   * Every result of a stream, whoever posts, once and in order, through lost connections and restarts.
   *
   * `after` is the `seq` after which to begin, as far as the service keeps results (the latest 64); left out, it
   * begins with what comes from now on. `patience` bounds one outage.
   */
  subscribe(
    stream: string,
    { after, patience = {} }: { after?: number; patience?: Partial<Patience> } = {},
  ): Subscription {
    if (this.make === undefined)
      throw new RangeError("there is no WebSocket here: give one as an option of the client");
    const source = { recent: () => this.results(stream, MAX_RECENT_RESULTS), address: () => this.address() };
    return new Subscription(
      stream,
      source,
      this.make,
      { ...this.wire.patience, ...patience },
      this.timeoutS,
      after ?? null,
    );
  }

  /** Predict from now on without learning; the state still advances. */
  async freeze(stream: string): Promise<StreamInfo> {
    return this.wire.send({ method: "POST", path: streamPath(stream, "freeze") });
  }

  /** Learn again. */
  async unfreeze(stream: string): Promise<StreamInfo> {
    return this.wire.send({ method: "POST", path: streamPath(stream, "unfreeze") });
  }

  /** Keep the model as it is now under a name, in place of one that has it. */
  async snapshot(stream: string, name: string): Promise<Snapshot> {
    return this.wire.send({ method: "POST", path: streamPath(stream, "snapshots"), body: JSON.stringify({ name }) });
  }

  /** The named versions of a stream's model. */
  async snapshots(stream: string): Promise<Snapshot[]> {
    return (await this.wire.send<{ snapshots: Snapshot[] }>({ method: "GET", path: streamPath(stream, "snapshots") }))
      .snapshots;
  }

  /** Go back to a named version, `seq` included. */
  async restore(stream: string, name: string): Promise<StreamInfo> {
    return this.wire.send({
      method: "POST",
      path: streamPath(stream, "snapshots", name, "restore"),
      isRepeatable: false,
    });
  }

  /** A second stream that starts from this one's model. */
  async clone(stream: string, to: string): Promise<StreamInfo> {
    return this.wire.send({
      method: "POST",
      path: streamPath(stream, "clone"),
      body: JSON.stringify({ to }),
      isRepeatable: false,
    });
  }

  /** The whole model as one safetensors file. */
  async export(stream: string): Promise<Uint8Array> {
    return this.wire.bytes({ method: "GET", path: streamPath(stream, "export") });
  }

  /** Make a stream of an exported file; `replace` puts it in the place of one that has the id. */
  async import(stream: string, file: Uint8Array, { replace = false }: { replace?: boolean } = {}): Promise<StreamInfo> {
    return this.wire.send({
      method: "PUT",
      path: streamPath(stream, "import"),
      body: file,
      contentType: "application/octet-stream",
      isRepeatable: replace,
      ...(replace ? { query: { replace: "true" } } : {}),
    });
  }

  private async inChunks<T extends Observation>(
    observations: Observations<T>,
    post: (chunk: T[]) => Promise<BatchReply>,
  ): Promise<BatchReply> {
    const chunks = chunked(observations);
    let total = nothing();
    for (let posted = 0; ;) {
      const { value: chunk, done } = await chunks.next();
      if (done) return total;
      try {
        total = merge(total, await post(chunk), posted);
      } catch (error) {
        if (error instanceof UoroError) Object.assign(error, { partial: total, remaining: rest(chunk, chunks) });
        throw error;
      }
      posted += chunk.length;
    }
  }

  /** Of the websocket for many streams. Browsers cannot send a key with it: a ticket stands for it. */
  private async address(): Promise<string> {
    const url = `${this.wire.url.replace(/^http/, "ws")}/v1/ws`;
    if (this.wire.apiKey === null) return url;
    const { ticket } = await this.wire.send<{ ticket: string }>({ method: "POST", path: "/v1/tickets" });
    return `${url}?ticket=${encodeURIComponent(ticket)}`;
  }
}
