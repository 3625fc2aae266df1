// Calls to the service: the key, problems, and a socket that comes back by itself.

const KEY = "uoro-key";
const listeners = new Set();

export const key = () => sessionStorage.getItem(KEY);
export function setKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

/** Called with no arguments when the service asks for a key that the page does not have. */
export const onKeyAsked = (listener) => listeners.add(listener);

export class Problem extends Error {
  constructor(status, document, retryAfterS = null) {
    super(document.detail ?? document.title ?? `the service answered ${status}`);
    this.status = status;
    this.code = document.code ?? "";
    this.retryAfterS = retryAfterS;
  }
}

/** The answer of a call: JSON, or the response itself if `raw`. Throws Problem; status 0 is "not reached". */
export async function call(method, path, { body, type = "application/json", raw = false, signal } = {}) {
  const headers = {};
  if (key()) headers.authorization = `Bearer ${key()}`;
  if (body !== undefined) headers["content-type"] = type;
  const content = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, { method, headers, body: content, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "the service cannot be reached" });
  }
  if (response.ok) return raw ? response : response.status === 204 ? null : response.json();
  if (response.status === 401) listeners.forEach((listener) => listener());
  const told = await response.json().catch(() => ({}));
  throw new Problem(response.status, told, Number(response.headers.get("retry-after")) || null);
}

export const streamPath = (id) => `/v1/streams/${encodeURIComponent(id)}`;

const FIRST_PAUSE_MS = 300;
const MAX_PAUSE_MS = 4000;

/**
 * Follows one stream until `close()`. `onOpen` is called each time the socket is open, the first included, and is
 * to fetch what was missed; `onResult` with each result; `onLost` when it waits to try again.
 */
export function follow(id, { onOpen, onResult, onLost }) {
  let socket = null;
  let timer = null;
  let pauseMs = FIRST_PAUSE_MS;
  let isClosed = false;

  async function open() {
    try {
      const query = key() ? `?ticket=${encodeURIComponent((await call("POST", "/v1/tickets")).ticket)}` : "";
      if (isClosed) return;
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      socket = new WebSocket(`${scheme}://${location.host}${streamPath(id)}/ws${query}`);
    } catch {
      again();
      return;
    }
    socket.onopen = () => {
      pauseMs = FIRST_PAUSE_MS;
      socket.send(JSON.stringify({ type: "subscribe" }));
      onOpen();
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "result") onResult(message);
    };
    socket.onclose = again;
  }

  function again() {
    if (isClosed) return;
    onLost();
    timer = setTimeout(open, pauseMs * (0.75 + Math.random() / 2));
    pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
  }

  open();
  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
      socket?.close();
    },
  };
}
