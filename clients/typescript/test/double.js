// A double of the service in place of fetch: it keeps the rules of seq, learns nothing, and fails on demand.

export class Double {
  /** Of the coming requests: null lets one through. */
  faults = [];
  requests = [];
  learned = [];

  constructor() {
    globalThis.fetch = (url, init) => this.#answer(new URL(url), init);
  }

  async #answer(url, { method, body, headers }) {
    const fault = this.faults.shift() ?? null;
    if (fault === "refused") throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
    this.requests.push({ method, path: url.pathname, body, headers });
    if (fault === "lost request") throw new TypeError("fetch failed", { cause: { code: "ECONNRESET" } });
    if (fault === "overloaded") return problem(429, "overloaded", {}, { "retry-after": "0" });
    if (fault === "unavailable") return problem(503, "store_unavailable");
    const response = this.#route(method, url, body, headers["content-type"] === "application/x-ndjson");
    if (fault === "lost reply") throw new TypeError("fetch failed", { cause: { code: "ECONNRESET" } });
    if (fault === "unavailable afterwards") return problem(503, "store_unavailable");
    if (fault === "nonsense") return new Response("<html>");
    return response;
  }

  #route(method, url, body, isBatch) {
    if (url.pathname.endsWith("/observations")) return this.#observe(body, isBatch);
    if (method === "DELETE")
      return this.learned.length
        ? (this.learned.splice(0), new Response(null, { status: 204 }))
        : problem(404, "unknown_stream");
    return this.learned.length
      ? Response.json({ id: "a", last_seq: this.learned.length })
      : problem(404, "unknown_stream");
  }

  #observe(body, isBatch) {
    const lines = body.split("\n").map((line) => JSON.parse(line));
    const outcomes = lines.map(({ x, seq = this.learned.length + 1 }) => {
      if (seq <= this.learned.length) return "duplicate";
      if (seq > this.learned.length + 1) return "out_of_sequence";
      if (typeof x.v !== "number") return "invalid_observation";
      this.learned.push(x.v);
      return "accepted";
    });
    const num = (kind) => outcomes.filter((outcome) => outcome === kind).length;
    const errors = outcomes.flatMap((code, index) =>
      ["accepted", "duplicate"].includes(code) ? [] : [{ index, code, detail: "refused" }],
    );
    if (!isBatch) {
      if (errors.length)
        return problem(errors[0].code === "out_of_sequence" ? 409 : 422, errors[0].code, {
          field: "v",
          expected_seq: this.learned.length + 1,
        });
      return Response.json({
        stream: "a",
        seq: lines[0].seq ?? this.learned.length,
        duplicate: outcomes[0] === "duplicate",
      });
    }
    return Response.json({
      accepted: num("accepted"),
      duplicates: num("duplicate"),
      rejected: errors.length,
      errors: errors.slice(0, 100),
      loss: null,
      next: null,
    });
  }
}

function problem(status, code, more = {}, headers = {}) {
  const document = { type: "about:blank", title: code, status, detail: `the double says ${code}`, code, ...more };
  return new Response(JSON.stringify(document), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}
