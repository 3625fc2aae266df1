/** Calls on their way: one request and its attempts, JSON out and in. */

import { UoroError, lostRequest, problemOf } from "./errors.js";
import { type Patience, leavesDoubt, pauseBeforeRetry, sleep } from "./retry.js";
import type { Observation } from "./types.js";

export const JSON_TYPE = "application/json";
export const NDJSON_TYPE = "application/x-ndjson";

/** One request. */
export interface Call {
  method: "GET" | "PUT" | "POST" | "DELETE";
  path: string;
  query?: Record<string, string | string[]>;
  body?: string | Uint8Array;
  contentType?: string;
  /** Making it twice is the same as making it once; true if left out. */
  isRepeatable?: boolean;
  /** A problem that means, after a lost reply, that an earlier attempt succeeded. */
  doneCode?: string;
}

/** A reply, and whether an earlier attempt of the call may have been taken. */
export interface Delivered<T> {
  value: T;
  wasInDoubt: boolean;
}

/** Sends calls to one service. */
export class Wire {
  readonly url: string;

  constructor(
    url: string,
    readonly apiKey: string | null,
    readonly patience: Patience,
    private readonly timeoutS: number,
  ) {
    if (!/^https?:\/\/[^/]/.test(url))
      throw new RangeError(`${url} is not the address of a service; it looks like http://127.0.0.1:8000`);
    this.url = url.replace(/\/+$/, "");
  }

  /** A call's reply as JSON; undefined for an empty one. Attempted again as the rules say. */
  async send<T>(call: Call): Promise<T> {
    return (await this.deliver<T>(call)).value;
  }

  async deliver<T>(call: Call): Promise<Delivered<T>> {
    return this.attempt(call, (body) => JSON.parse(new TextDecoder().decode(body)) as T);
  }

  /** A call's reply as bytes. */
  async bytes(call: Call): Promise<Uint8Array> {
    return (await this.attempt(call, (body) => new Uint8Array(body))).value;
  }

  private async attempt<T>(call: Call, read: (body: ArrayBuffer) => T): Promise<Delivered<T>> {
    const startedMs = performance.now();
    let wasInDoubt = false;
    for (let attempts = 1; ; attempts++) {
      try {
        const body = await this.exchange(call);
        return { value: body.byteLength ? readOr(read, body) : (undefined as T), wasInDoubt };
      } catch (error) {
        if (!(error instanceof UoroError)) throw error;
        if (wasInDoubt && call.doneCode !== undefined && error.code === call.doneCode)
          return { value: undefined as T, wasInDoubt };
        wasInDoubt ||= leavesDoubt(error);
        const pauseS = pauseBeforeRetry(this.patience, error, {
          isRepeatable: call.isRepeatable ?? true,
          attempts,
          elapsedS: (performance.now() - startedMs) / 1000,
          chance: Math.random(),
        });
        if (pauseS === null) {
          error.isInDoubt = wasInDoubt || error.code === "unexpected_reply";
          throw error;
        }
        await sleep(pauseS);
      }
    }
  }

  /** One attempt. */
  async exchange(call: Call): Promise<ArrayBuffer> {
    const headers: Record<string, string> = {};
    if (this.apiKey !== null) headers["authorization"] = `Bearer ${this.apiKey}`;
    if (call.body !== undefined) headers["content-type"] = call.contentType ?? JSON_TYPE;
    try {
      const response = await fetch(this.url + call.path + queryOf(call.query), {
        method: call.method,
        headers,
        ...(call.body === undefined ? {} : { body: call.body as BodyInit }),
        signal: AbortSignal.timeout(1000 * this.timeoutS),
        cache: "no-store",
      });
      const body = await response.arrayBuffer();
      if (!response.ok) throw problemOf(response.status, response.headers, new TextDecoder().decode(body));
      return body;
    } catch (error) {
      throw error instanceof UoroError ? error : lostRequest(error, this.url);
    }
  }
}

/** The path of a stream or of something below it, every part percent-encoded. */
export function streamPath(stream: string, ...rest: string[]): string {
  if ([stream, ...rest].includes("")) throw new RangeError("an id or name is empty");
  return `/v1/streams/${[stream, ...rest].map(encodeURIComponent).join("/")}`;
}

/** An observation as JSON. Throws a RangeError for a number that JSON would silently turn into null. */
export function encode(observation: Observation): string {
  for (const [name, value] of Object.entries(observation.x)) {
    if (typeof value === "number" && !Number.isFinite(value))
      throw new RangeError(`field ${name} is ${value}; give null for a missing value`);
  }
  const { t } = observation;
  if (t !== undefined && t !== null && typeof t !== "string" && !Number.isFinite(Number(t)))
    throw new RangeError("the time is no time");
  return JSON.stringify(observation);
}

function queryOf(query: Call["query"]): string {
  const pairs = Object.entries(query ?? {}).flatMap(([name, given]) => [given].flat().map((value) => [name, value]));
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

function readOr<T>(read: (body: ArrayBuffer) => T, body: ArrayBuffer): T {
  try {
    return read(body);
  } catch (cause) {
    throw new UoroError("unexpected_reply", `the reply cannot be read: ${String(cause)}`, { cause });
  }
}
