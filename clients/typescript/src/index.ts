/** Client of the UORO streaming learning service: predict, then learn, over HTTP and websocket. */

export type { Observations } from "./batches.js";
export { Client, type ClientOptions } from "./client.js";
export { type ClientCode, UoroError } from "./errors.js";
export type { Patience } from "./retry.js";
export type { Subscription } from "./subscription.js";
export * from "./types.js";
export type { Writer } from "./writer.js";
