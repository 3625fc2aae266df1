/** The one error of this client, and how foreign ones become it. */

import type { BatchReply, Observation, Problem } from "./types.js";

/** Codes of the client's own; all others are those of the service's problem documents. */
export type ClientCode =
  | "connection_failed" // nothing was sent
  | "reply_lost" // sent, and no reply came; it may or may not have been taken
  | "unexpected_reply" // not what the service promises
  | "sequence_taken" // a writer's number was learned from someone else's observation
  | "subscription_lost" // the connection broke, or its reader fell behind
  | "key_ended"; // the key of an open subscription

/** Whatever fails. Look at `code`. */
export class UoroError extends Error {
  override readonly name = "UoroError";
  /** The stable name of what is wrong. */
  readonly code: string;
  /** Of the HTTP reply; 0 where there is none. */
  readonly status: number;
  /** When the service asks to try again, in seconds. */
  readonly retryAfterS: number | null;
  /** The only `seq` that would have been learned, if that is the problem. */
  readonly expectedSeq: number | null;
  /** The field to blame, if there is one. */
  readonly field: string | null;
  /** The request, or an earlier attempt of it, may have been taken all the same. */
  isInDoubt = false;
  /** Of `observeMany`: what the settled part led to. */
  partial: BatchReply | null = null;
  /** Of `observeMany`: the observations that are not settled; the same writer may be given them again. */
  remaining: AsyncIterable<Observation> | null = null;

  constructor(
    code: string,
    detail: string,
    more: { status?: number; retryAfterS?: number | null; problem?: Partial<Problem>; cause?: unknown } = {},
  ) {
    super(
      `${detail} (${more.status ? `${more.status} ` : ""}${code})`,
      more.cause === undefined ? undefined : { cause: more.cause },
    );
    this.code = code;
    this.status = more.status ?? 0;
    this.retryAfterS = more.retryAfterS ?? null;
    this.expectedSeq = more.problem?.expected_seq ?? null;
    this.field = more.problem?.field ?? null;
  }
}

/** The error that a reply of 400 or above stands for, whoever wrote its body. */
export function problemOf(status: number, headers: Headers, body: string): UoroError {
  let problem: Partial<Problem> = {};
  try {
    const read: unknown = JSON.parse(body);
    if (typeof read === "object" && read !== null) problem = read as Partial<Problem>;
  } catch {
    // an error page of a proxy
  }
  const retryAfter = headers.get("retry-after")?.trim() ?? "";
  return new UoroError(
    problem.code ?? `http_${status}`,
    problem.detail ?? problem.title ?? `the service answered ${status}`,
    {
      status,
      retryAfterS: /^\d+$/.test(retryAfter) ? Number(retryAfter) : null,
      problem,
    },
  );
}

const NOTHING_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** The error for a request without a reply. Browsers do not tell whether it was sent, so it is in doubt there. */
export function lostRequest(cause: unknown, url: string): UoroError {
  const inner = cause instanceof Error ? (cause.cause as { code?: string } | undefined) : undefined;
  if (inner?.code !== undefined && NOTHING_SENT.has(inner.code)) {
    return new UoroError("connection_failed", `no service answers at ${url}: ${inner.code}`, { cause });
  }
  return new UoroError("reply_lost", `${url} was asked and did not answer: ${inner?.code ?? String(cause)}`, { cause });
}
