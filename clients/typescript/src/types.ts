/** The nouns of the service, named from its OpenAPI document. `openapi.ts` is generated: `npm run types`. */

import type { components } from "./openapi.js";

type Schemas = components["schemas"];

/** What a field can show; null is missing. */
export type Value = number | string | boolean | null;

/** Epoch seconds, RFC 3339, or a Date. */
export type Timestamp = number | string | Date;

/** What a stream showed at one moment; an absent field is missing. */
export interface Observation {
  x: Record<string, Value>;
  t?: Timestamp | null;
  /** Its place in the stream, 1, 2, 3 …; a `Writer` gives it. */
  seq?: number;
}

/** An observation that says whose it is. */
export interface NamedObservation extends Observation {
  stream: string;
}

export type NumberForecast = Schemas["NumberForecast"];
export type CategoryForecast = Schemas["CategoryForecast"];
/** A forecast by target field. */
export type Prediction = Record<string, NumberForecast | CategoryForecast>;
/** What one observation led to. */
export type Reply = Schemas["Reply"];
/** A reply as listeners get it: with the values that came, as far as the service tells them. */
export type Result = Reply & { x?: Record<string, Value> | null };
export type Refusal = Schemas["Refusal"];
/** What several observations led to; `streams` where they were of several streams. */
export interface BatchReply {
  accepted: number;
  duplicates: number;
  rejected: number;
  /** The first hundred; `index` counts from the first observation given. */
  errors: Refusal[];
  /** Mean over the accepted ones that have one. */
  loss: number | null;
  next?: Prediction | null;
  results?: Reply[] | null;
  streams?: Record<string, Schemas["StreamShare"]>;
}
export type StreamInfo = Schemas["Stream"];
export type Glance = Schemas["Glance"];
export type Metrics = Schemas["Metrics"];
export type Snapshot = Schemas["Snapshot"];
export type Problem = Schemas["Problem"];

type Loose<T> = T extends object ? { [K in keyof T]?: Loose<T[K]> } : T;
/** A spec as it may be given: all but the fields can be left out. */
export type Spec = {
  fields: { [name: string]: { type: "number" | "category"; size?: number; role?: "target" | "input" } };
} & Loose<Omit<Schemas["StreamSpec"], "fields">>;

/** Whether a forecast is one of a number. */
export function isNumber(forecast: NumberForecast | CategoryForecast | undefined): forecast is NumberForecast {
  return forecast !== undefined && "mean" in forecast;
}
