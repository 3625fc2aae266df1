/**
 * Which results of one stream are new to a listener that connects again and again. Pure.
 *
 * 1. After every connection the service's recent results are fetched; those beyond the last told are told, then what
 *    is heard live. What the service no longer keeps is counted as missed.
 * 2. A result that was fetched may be heard as well, and is passed over then.
 * 3. A place at or below the last told means that the stream went back (a snapshot was restored): so does the listener.
 */

import type { Result } from "./types.js";

export class Order {
  missed = 0;
  private fetchedBySeq = new Map<number, Result>();

  /** `lastSeq`: of the last result told; null begins with what comes after the first connection. */
  constructor(private lastSeq: number | null) {}

  /** What of the recent results, oldest first, is to be told. */
  fetched(recent: Result[]): Result[] {
    const newest = recent.at(-1)?.seq ?? 0;
    this.fetchedBySeq = new Map(recent.map((result) => [result.seq, result]));
    if (this.lastSeq === null || newest < this.lastSeq) {
      this.lastSeq = newest;
      return [];
    }
    const last = this.lastSeq;
    const told = recent.filter((result) => result.seq > last);
    for (const result of told) this.tell(result);
    return told;
  }

  /** Whether a live result is to be told. */
  isNew(heard: Result): boolean {
    const fetched = this.fetchedBySeq.get(heard.seq);
    if (fetched !== undefined && isSame(fetched, heard)) {
      this.fetchedBySeq.delete(heard.seq);
      return false;
    }
    this.fetchedBySeq.clear(); // what is fetched can only be heard before anything else
    this.tell(heard);
    return true;
  }

  private tell({ seq }: Result): void {
    if (this.lastSeq !== null && seq > this.lastSeq + 1) this.missed += seq - this.lastSeq - 1;
    this.lastSeq = seq;
  }
}

/** Recent results know fewer of the values that came; all else is equal, bit for bit. */
function isSame(fetched: Result, heard: Result): boolean {
  const shown = ({ t, loss, prediction, next }: Result): string => JSON.stringify([t, loss, prediction, next]);
  return shown(fetched) === shown(heard);
}
