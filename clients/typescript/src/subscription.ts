/** Every result of one stream, once and in order, through lost connections and restarts of the service. */

import { UoroError } from "./errors.js";
import { Order } from "./order.js";
import { type Patience, pauseBeforeRetry, sleep } from "./retry.js";
import { Socket } from "./socket.js";
import type { Result } from "./types.js";

/** What a subscription asks of its client. */
export interface Source {
  /** Recent results, newest last. Throws if there is no such stream, or the key may not see it. */
  recent(): Promise<Result[]>;
  /** The address of the websocket, with a ticket where there is a key. */
  address(): Promise<string>;
}

/** An async iterable, to be iterated once; made by `Client.subscribe`. Leaving the loop closes it. */
export class Subscription implements AsyncIterable<Result> {
  private readonly order: Order;
  private socket: Socket | null = null;
  private isClosed = false;
  private error: UoroError | null = null;
  private attempts = 0;
  private sinceMs = 0;

  constructor(
    private readonly stream: string,
    private readonly source: Source,
    private readonly make: typeof WebSocket,
    private readonly patience: Patience,
    private readonly timeoutS: number,
    after: number | null,
  ) {
    this.order = new Order(after);
  }

  /** Results that came without a connection, and that the service no longer keeps. */
  get missed(): number {
    return this.order.missed;
  }

  /** Why there is no connection at the moment; null if there is one. */
  get outage(): UoroError | null {
    return this.error;
  }

  close(): void {
    this.isClosed = true;
    this.socket?.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Result, void, undefined> {
    try {
      while (!this.isClosed) {
        try {
          if (this.socket === null) yield* await this.connect();
          else {
            await this.socket.more();
            for (const result of this.socket.heard()) if (this.order.isNew(result)) yield result;
          }
        } catch (error) {
          this.socket?.close();
          this.socket = null;
          if (this.isClosed) return;
          if (!(error instanceof UoroError)) throw error;
          await sleep(this.failed(error));
        }
      }
    } finally {
      this.close();
    }
  }

  /** A new socket, and what is to be told before it is listened to. */
  private async connect(): Promise<Result[]> {
    // Asked before as well: a websocket that is refused does not say why.
    if (this.attempts === 0) await this.source.recent();
    const socket = await Socket.open(this.make, await this.source.address(), this.stream, this.timeoutS);
    try {
      const told = this.order.fetched(await this.source.recent());
      this.socket = socket;
      this.error = null;
      this.attempts = 0;
      return told;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** Seconds until the next attempt. Throws the error if it stands. */
  private failed(error: UoroError): number {
    if (this.error === null) this.sinceMs = performance.now();
    this.error = error;
    this.attempts += 1;
    const pauseS = pauseBeforeRetry(this.patience, error, {
      isRepeatable: true,
      attempts: this.attempts,
      elapsedS: (performance.now() - this.sinceMs) / 1000,
      chance: Math.random(),
    });
    if (pauseS === null) throw error;
    return pauseS;
  }
}
