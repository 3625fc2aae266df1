/** One websocket that follows one stream, until it is lost. */

import { UoroError } from "./errors.js";
import type { Result } from "./types.js";

/** Results that may wait for their reader; a socket that has more is given up, and what it had is fetched again. */
export const MAX_WAITING = 10_000;
const KEY_ENDED = 4401;
const SETTLING = "settling";

/** Hears one stream. Made by `open`, which waits until the service follows the stream for it. */
export class Socket {
  private readonly waiting: Result[] = [];
  private lost: UoroError | null = null;
  private wake: () => void = () => undefined;

  private constructor(
    private readonly socket: WebSocket,
    stream: string,
    private settled: () => void,
  ) {
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "subscribe", stream }));
      // Messages are taken in order, so the answer, be it an error, proves that the subscription has been taken.
      socket.send(JSON.stringify({ type: "predict", id: SETTLING, stream }));
    };
    socket.onmessage = ({ data }) => this.hear(data);
    socket.onclose = ({ code, reason }) => {
      const isKey = code === KEY_ENDED;
      this.lose(
        new UoroError(
          isKey ? "key_ended" : "subscription_lost",
          `the connection ended with code ${code}: ${reason || "no reason given"}`,
        ),
      );
    };
  }

  static async open(make: typeof WebSocket, url: string, stream: string, timeoutS: number): Promise<Socket> {
    let settled: () => void = () => undefined;
    const done = new Promise<void>((resolve) => (settled = resolve));
    const socket = new Socket(new make(url), stream, settled);
    const timer = setTimeout(
      () => socket.lose(new UoroError("subscription_lost", "the service does not answer")),
      1000 * timeoutS,
    );
    await done;
    clearTimeout(timer);
    if (socket.lost) throw socket.lost;
    return socket;
  }

  /** What has been heard and not been taken. */
  heard(): Result[] {
    return this.waiting.splice(0);
  }

  /** Resolves once there is something to take; rejects once there never will be. */
  async more(): Promise<void> {
    if (this.waiting.length) return;
    if (!this.lost) await new Promise<void>((resolve) => (this.wake = resolve));
    if (!this.waiting.length && this.lost) throw this.lost;
  }

  close(): void {
    this.lose(new UoroError("subscription_lost", "it was closed"));
  }

  private hear(data: unknown): void {
    const message = JSON.parse(String(data)) as { type: string; id?: unknown; code?: string; detail?: string };
    if (message.id === SETTLING) this.settled();
    else if (message.type === "result") {
      const { type: _, ...result } = message;
      this.waiting.push(result as unknown as Result);
      if (this.waiting.length > MAX_WAITING)
        this.lose(new UoroError("subscription_lost", `its reader fell ${MAX_WAITING} results behind`));
      this.wake();
    } else if (message.type === "error")
      this.lose(new UoroError(message.code ?? "unexpected_reply", message.detail ?? "the service told an error"));
  }

  private lose(error: UoroError): void {
    if (this.lost) return;
    this.lost = error;
    this.socket.onmessage = null;
    this.socket.close();
    this.settled();
    this.wake();
  }
}
