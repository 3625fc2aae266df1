/**
 * When a failed attempt is made again, and after what pause. Pure, and the rules of the Python client:
 *
 * 1. A call is repeatable if making it twice is the same as making it once. Others are repeated only when nothing
 *    can have been taken.
 * 2. No connection, 429: nothing was taken, so every call is repeated; not before Retry-After.
 * 3. A lost reply, 502, 503 and 504 leave open what was taken: only repeatable calls are repeated. A damaged stream
 *    stays damaged.
 * 4. Any other answer stands. Attempts and time are bounded.
 */

import type { UoroError } from "./errors.js";

/** How long a call is kept alive. */
export interface Patience {
  /** The first one included; 1 means no retries. */
  maxAttempts: number;
  /** Seconds from the first attempt to the start of the last. */
  maxTotalS: number;
  /** Before the second attempt; doubled for each further one. */
  firstPauseS: number;
  /** Bound of the doubling. Retry-After may ask for more. */
  maxPauseS: number;
}

export const PATIENCE: Patience = { maxAttempts: 10, maxTotalS: 60, firstPauseS: 0.1, maxPauseS: 5 };

/** Whether the failed attempt may have been taken all the same. */
export function leavesDoubt(error: UoroError): boolean {
  return error.code === "reply_lost" || [502, 503, 504].includes(error.status);
}

/** Seconds until the next attempt, or null if the error stands. `chance` in [0, 1) spreads callers. */
export function pauseBeforeRetry(
  patience: Patience,
  error: UoroError,
  {
    isRepeatable,
    attempts,
    elapsedS,
    chance,
  }: { isRepeatable: boolean; attempts: number; elapsedS: number; chance: number },
): number | null {
  if (error.code === "stream_damaged") return null;
  const isUntaken = error.code === "connection_failed" || error.status === 429;
  const isLost = error.code === "subscription_lost" || leavesDoubt(error);
  if (!isUntaken && !(isLost && isRepeatable)) return null;
  const doubled = patience.firstPauseS * 2 ** Math.min(attempts - 1, 30);
  const pauseS = Math.min(doubled, patience.maxPauseS) * (0.5 + 0.5 * chance) + (error.retryAfterS ?? 0);
  return attempts >= patience.maxAttempts || elapsedS + pauseS > patience.maxTotalS ? null : pauseS;
}

export function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}
