// Writers and retries against a double: whatever is lost on the way, everything is learned once, in order.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Client, UoroError } from "../dist/index.js";
import { Double } from "./double.js";

const FAULTS = ["refused", "lost request", "lost reply", "overloaded", "unavailable", "unavailable afterwards"];
const BRIEF = { patience: { maxAttempts: 4, firstPauseS: 0 } };
const ADDRESS = "http://double";

let double;
let client;
beforeEach(() => {
  double = new Double();
  client = new Client(ADDRESS, BRIEF);
});

const code = (expected) => (error) => error instanceof UoroError && error.code === expected;

for (const fault of FAULTS) {
  test(`with seq an observation survives twice: ${fault}`, async () => {
    double.faults = [fault, fault];
    assert.equal((await client.observe("a", { v: 1 }, { seq: 1 })).seq, 1);
    assert.deepEqual(double.learned, [1]);
  });

  test(`a writer's observation survives twice: ${fault}`, async () => {
    double.faults = [null, fault, fault];
    assert.equal((await client.writer("a").observe({ v: 1 })).seq, 1);
    assert.deepEqual(double.learned, [1]);
  });
}

test("without seq only what was not taken is sent again", async () => {
  for (const [fault, requests] of [
    ["lost reply", 1],
    ["unavailable afterwards", 1],
    ["overloaded", 2],
    ["refused", 1],
  ]) {
    double = new Double();
    double.faults = [fault];
    const posted = client.observe("a", { seq: 1, v: 1 });
    if (fault.startsWith("lost") || fault.startsWith("unavailable"))
      await assert.rejects(posted, (error) => error.isInDoubt);
    else assert.equal((await posted).seq, 1);
    assert.equal(double.requests.length, requests);
    assert.deepEqual(double.learned, [1]);
  }
});

test("attempts end", async () => {
  double.faults = Array(4).fill("overloaded");
  await assert.rejects(client.observe("a", { v: 1 }), code("overloaded"));
  assert.equal(double.requests.length, 4);
});

test("errors carry what the problem says", async () => {
  await assert.rejects(
    client.observe("a", { v: "x" }),
    (error) => error.status === 422 && error.field === "v" && !error.isInDoubt,
  );
  await assert.rejects(
    client.observe("a", { v: 1 }, { seq: 9 }),
    (error) => error.code === "out_of_sequence" && error.expectedSeq === 1,
  );
});

test("what JSON cannot carry is refused before it is sent", async () => {
  for (const x of [{ v: NaN }, { v: Infinity }]) await assert.rejects(client.observe("a", x), RangeError);
  await assert.rejects(client.observe("a", { v: 1 }, { t: new Date(NaN) }), RangeError);
  await assert.rejects(client.describe(""), RangeError);
  await assert.rejects(client.writer("a").observeMany([{ x: { v: NaN } }]), RangeError);
  assert.throws(() => new Client("localhost:8000"), RangeError);
  assert.ok(double.requests.every(({ method }) => method === "GET"));
});

test("ids are percent-encoded", async () => {
  await client.observe("plant/3:a", { v: 1 });
  assert.equal(double.requests[0].path, "/v1/streams/plant%2F3%3Aa/observations");
});

test("a deletion whose reply was lost succeeds; without doubt it is an error", async () => {
  await client.observe("a", { v: 1 });
  double.faults = ["lost reply"];
  await client.delete("a");
  await assert.rejects(client.delete("a"), code("unknown_stream"));
});

test("many go in chunks, and refusals name the caller's index", async () => {
  const rows = Array.from({ length: 2001 }, (_, n) => ({ x: { v: n === 3 || n === 1500 ? "x" : n } }));
  const reply = await client.writer("a").observeMany(rows);
  assert.deepEqual([reply.accepted, reply.rejected, reply.errors.map(({ index }) => index)], [1999, 2, [3, 1500]]);
  assert.deepEqual(double.learned, rows.map(({ x }) => x.v).filter(Number.isFinite));
});

test("more misfits than a reply lists", async () => {
  const rows = Array.from({ length: 300 }, (_, n) => ({ x: { v: n < 250 ? "x" : n } }));
  const reply = await client.writer("a").observeMany(rows);
  assert.deepEqual([reply.accepted, reply.rejected, reply.errors.length], [50, 250, 100]);
});

test("calls made at once take their turn", async () => {
  const writer = client.writer("a");
  const replies = await Promise.all([
    writer.observe({ v: 1 }),
    writer.observeMany([{ x: { v: 2 } }, { x: { v: 3 } }]),
    writer.observe({ v: 4 }),
  ]);
  assert.deepEqual(double.learned, [1, 2, 3, 4]);
  assert.equal(replies[2].seq, 4);
});

test("everything is learned once, in order, whatever the faults, chunks and misfits", async () => {
  let seed = 1;
  const random = (num) => (seed = (seed * 48271) % 2147483647) % num;
  for (let trial = 0; trial < 500; trial++) {
    double = new Double();
    client = new Client(ADDRESS, { patience: { maxAttempts: 3, firstPauseS: 0 } });
    const writer = client.writer("a");
    const rows = Array.from({ length: random(12) }, (_, n) => ({ x: { v: random(5) ? n : "misfit" } }));
    double.faults = Array.from({ length: random(14) }, () => [null, ...FAULTS, "nonsense"][random(FAULTS.length + 2)]);
    let [first, settled, rejected] = [0, 0, 0];
    while (first < rows.length) {
      const length = 1 + random(5);
      let left = rows.slice(first, first + length);
      first += length;
      while (left !== null) {
        let reply;
        try {
          reply = await writer.observeMany(left);
          left = null;
        } catch (error) {
          if (!(error instanceof UoroError)) throw error;
          [reply, left] = [error.partial, error.remaining];
        }
        settled += reply.accepted + reply.duplicates;
        rejected += reply.rejected;
      }
    }
    const fitting = rows.map(({ x }) => x.v).filter(Number.isFinite);
    assert.deepEqual(double.learned, fitting, `trial ${trial}`);
    assert.deepEqual([settled, rejected], [fitting.length, rows.length - fitting.length], `trial ${trial}`);
  }
});

test("a given up observation may be repeated, or left behind", async () => {
  const writer = client.writer("a");
  double.faults = [null, ...Array(4).fill("unavailable afterwards")];
  await assert.rejects(writer.observe({ v: 1 }), (error) => error.isInDoubt);
  assert.ok((await writer.observe({ v: 1 })).duplicate);
  double.faults = Array(4).fill("lost request");
  await assert.rejects(writer.observe({ v: 2 }), code("reply_lost"));
  assert.equal((await writer.observe({ v: 3 })).seq, 2);
  assert.deepEqual(double.learned, [1, 3]);
});

test("a second writer is told", async () => {
  const writer = client.writer("a");
  await writer.observe({ v: 1 });
  await client.observe("a", { v: 2 });
  await assert.rejects(writer.observe({ v: 3 }), code("sequence_taken"));
  assert.equal((await writer.observe({ v: 4 })).seq, 3);
});

test("a stream that went back is told once, then asked anew", async () => {
  const writer = client.writer("a");
  await writer.observeMany([{ x: { v: 1 } }, { x: { v: 2 } }]);
  double.learned.splice(1);
  await assert.rejects(writer.observeMany([{ x: { v: 3 } }]), code("out_of_sequence"));
  assert.equal((await writer.observe({ v: 3 })).seq, 2);
  assert.throws(() => writer.startAt(0), RangeError);
});
