// Against the live service that UORO_URL names. UORO_CONTROL kills, stops and starts it.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Client, UoroError, isNumber } from "../dist/index.js";

const { UORO_URL, UORO_CONTROL, UORO_KEY, UORO_RATIONED_KEY } = process.env;
const LASTING = { maxAttempts: 1000, maxTotalS: 240, maxPauseS: 1 };
const SPEC = { fields: { v: { type: "number" } }, hidden_size: 2, season: "none" };
const ROWS = Array.from({ length: 4000 }, (_, n) => ({ x: { v: Math.sin(n / 9) + (n % 3) } }));

const client = new Client(UORO_URL, { apiKey: UORO_KEY, patience: LASTING });
const control = async (act) => assert.equal((await fetch(`${UORO_CONTROL}/${act}`, { method: "POST" })).status, 200);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const code = (expected) => (error) => error instanceof UoroError && error.code === expected;

/** Counts the statuses of all replies, and what did not end in one. */
const seen = new Map();
const plainFetch = globalThis.fetch;
globalThis.fetch = async (...given) => {
  const count = (what) => seen.set(what, (seen.get(what) ?? 0) + 1);
  try {
    const response = await plainFetch(...given);
    count(response.status);
    return response;
  } catch (error) {
    count("lost");
    throw error;
  }
};
after(() => (globalThis.fetch = plainFetch));

/** What a stream's state shows of itself, to the last bit: a stream's future depends on its own past alone. */
const bits = async (stream) => [
  (await client.describe(stream)).last_seq,
  await client.predict(stream, 20),
  (await client.metrics(stream)).total_loss,
];

/** Rows over a while, so that there is a middle. */
async function* pacing(rows) {
  for (const [n, row] of rows.entries()) {
    if (n % 100 === 0) await sleep(80);
    yield row;
  }
}

test("every call", async () => {
  assert.ok((await client.ready()).isReady);
  const labels = { site: "north" };
  const made = await client.create(
    "calls/a",
    { fields: { v: { type: "number" }, k: { type: "category", size: 4 } }, hidden_size: 2 },
    labels,
  );
  assert.deepEqual([made.state, made.labels, made.last_seq], ["learning", labels, 0]);
  const first = await client.observe("calls/a", { v: 1, k: "x" }, { t: new Date(0) });
  assert.deepEqual([first.seq, first.prediction, first.t], [1, null, "1970-01-01T00:00:00Z"]);
  const many = await client.observeMany(
    "calls/a",
    [{ x: { v: 2, k: "y" } }, { x: { v: "high" } }, { x: { v: 3, k: null } }],
    { full: true },
  );
  assert.deepEqual([many.accepted, many.rejected, many.errors[0].index, many.results.length], [2, 1, 1, 2]);
  assert.equal((await client.observeMany("calls/a", [{ x: { v: 4 } }])).accepted, 1);
  const both = await client.observeStreams([
    { stream: "calls/a", x: { v: 5 } },
    { stream: "calls/b", x: { v: 6 } },
  ]);
  assert.deepEqual(both.streams, { "calls/a": { accepted: 1, last_seq: 5 }, "calls/b": { accepted: 1, last_seq: 1 } });
  const ahead = await client.predict("calls/a", 3);
  assert.equal(ahead.length, 3);
  assert.ok(isNumber(ahead[0].v) && !isNumber(ahead[0].k));
  assert.equal((await client.metrics("calls/a")).observations, 5);
  assert.deepEqual(
    (await client.results("calls/a", 2)).map(({ seq }) => seq),
    [4, 5],
  );
  assert.equal((await client.freeze("calls/a")).state, "frozen");
  assert.equal((await client.unfreeze("calls/a")).state, "learning");
  assert.equal((await client.snapshot("calls/a", "five")).seq, 5);
  assert.equal((await client.clone("calls/a", "calls/c")).last_seq, 5);
  await client.observe("calls/a", { v: 7 });
  assert.equal((await client.restore("calls/a", "five")).last_seq, 5);
  assert.deepEqual(
    (await client.snapshots("calls/a")).map(({ name }) => name),
    ["five"],
  );
  const file = await client.export("calls/a");
  assert.equal((await client.import("calls/d", file)).last_seq, 5);
  await assert.rejects(client.import("calls/d", file), code("stream_exists"));
  const listed = await collect(client.list({ prefix: "calls/", glance: true }));
  assert.deepEqual(
    listed.map(({ id }) => id),
    ["calls/a", "calls/b", "calls/c", "calls/d"],
  );
  assert.equal(listed[0].glance.x.v, 5);
  assert.deepEqual(
    (await collect(client.list({ labels }))).map(({ id }) => id),
    listed.filter((one) => one.labels.site).map(({ id }) => id),
  );
  await client.delete("calls/d");
  await assert.rejects(client.describe("calls/d"), code("unknown_stream"));
});

async function collect(results, num = Infinity) {
  const told = [];
  for await (const result of results) if (told.push(result) === num) break;
  return told;
}

test("a key that is missing", async () => {
  const stranger = new Client(UORO_URL);
  await assert.rejects(stranger.describe("a"), (error) => error.status === 401);
  await assert.rejects(collect(stranger.subscribe("a")), (error) => error.status === 401);
});

test("recent results come first; what is not kept is counted; values are told", async () => {
  await client.create("recent", SPEC);
  await client.observeMany("recent", ROWS.slice(0, 100));
  const results = client.subscribe("recent", { after: 10 });
  const told = await collect(results, 64);
  assert.deepEqual([told[0].seq, told.at(-1).seq, results.missed], [37, 100, 26]);
  assert.equal(told.at(-1).x.v, ROWS[99].x.v);
});

test("a restored stream is followed back", async () => {
  await client.create("restored", SPEC);
  await client.observeMany("restored", ROWS.slice(0, 5));
  await client.snapshot("restored", "five");
  const results = client.subscribe("restored", { after: 4 })[Symbol.asyncIterator]();
  const next = async () => (await results.next()).value;
  assert.equal((await next()).seq, 5);
  await client.observe("restored", { v: 7 });
  assert.deepEqual([(await next()).x, (await client.restore("restored", "five")).last_seq], [{ v: 7 }, 5]);
  await client.observe("restored", { v: 8 });
  const last = await next();
  assert.deepEqual([last.seq, last.x], [6, { v: 8 }]);
  await results.return();
});

test("a stream that is not there, and an end from outside", async () => {
  await assert.rejects(collect(client.subscribe("nowhere")), code("unknown_stream"));
  await client.create("closed", SPEC);
  const results = client.subscribe("closed");
  setTimeout(() => results.close(), 200);
  assert.deepEqual(await collect(results), []);
});

test("kills and a stop in the middle: nothing lost, nothing doubled, each result told once", async () => {
  await client.create("calm", SPEC);
  await client.create("killed", SPEC);
  await client.writer("calm").observeMany(ROWS);
  await client.create("slow", SPEC);
  const listening = collect(client.subscribe("slow", { after: 0, patience: LASTING }), 40);
  let isWriting = true;
  const writing = client
    .writer("killed")
    .observeMany(pacing(ROWS))
    .finally(() => (isWriting = false));
  const slow = client.writer("slow");
  for (const end of ["kill", "stop", "kill"]) {
    for (let n = 0; n < 5; n++) await slow.observe({ v: n });
    await sleep(500);
    assert.ok(isWriting);
    await control(end);
    await control("start");
    for (let n = 0; n < 5; n++) await slow.observe({ v: n });
  }
  const reply = await writing;
  assert.equal(reply.accepted + reply.duplicates, ROWS.length);
  assert.deepEqual(await bits("killed"), await bits("calm"));
  for (let n = 0; n < 10; n++) await slow.observe({ v: n });
  assert.deepEqual(
    (await listening).map(({ seq }) => seq),
    Array.from({ length: 40 }, (_, n) => n + 1),
  );
  assert.ok((seen.get("lost") ?? 0) + (seen.get(503) ?? 0) > 0);
});

test("a flood against a small queue: all are told to come back, and all are learned once", async () => {
  const names = Array.from({ length: 8 }, (_, n) => `flood/${n}`);
  for (const name of names) await client.create(name, SPEC);
  const before = seen.get(429) ?? 0;
  await Promise.all(names.map((name) => client.writer(name).observeMany(ROWS)));
  assert.ok((seen.get(429) ?? 0) > before);
  const calm = await bits("calm");
  for (const name of names) assert.deepEqual(await bits(name), calm);
});

test("a rationed key comes back when it is told to", async () => {
  const rationed = new Client(UORO_URL, { apiKey: UORO_RATIONED_KEY, patience: LASTING });
  const startedMs = performance.now();
  const before = seen.get(429) ?? 0;
  assert.equal((await rationed.writer("rationed").observeMany(ROWS.slice(0, 3000))).accepted, 3000);
  assert.ok(performance.now() - startedMs >= 1000);
  assert.ok((seen.get(429) ?? 0) > before);
});
