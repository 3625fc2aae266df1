"""Many streams, and much of one stream: throughput, memory, restart, and whether the cost stays what it was."""

from __future__ import annotations

import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from path.bulk import NDJSON, SPECS
from path.report import Row
from path.served import Served, service

SPEC = SPECS["GRU-32 alone, rank 1"][0]
NUM_CLIENTS = 2
MAX_LINES = 20_000


def streams(counts: list[int], num: int) -> list[Row]:
    """Throughput, memory and restart by number of streams, all of them in memory."""
    rows: list[Row] = []
    base = 0.0
    for count in counts:
        section = "Number of streams (GRU-32 alone, rank 1; all in memory)"
        name = f"{count:,} streams"
        with tempfile.TemporaryDirectory() as directory:
            settings = {"MEMORY_BUDGET_BYTES": str(2**36), "STREAM_METRICS_MAX": "200"}
            with service(directory, **settings) as served:
                with ThreadPoolExecutor(NUM_CLIENTS) as pool:
                    list(pool.map(lambda number: served.create(f"s{number}", SPEC), range(count)))
                _send(served, count, max(count, num // 4))
                cpu, start = served.cpu_s(), time.perf_counter()
                sent = _send(served, count, max(count, num))
                rate = sent / (time.perf_counter() - start)
                cpu_us = (served.cpu_s() - cpu) / sent * 1e6
                begun = time.perf_counter()
                served.call("GET", "/metrics")
                scrape_ms = (time.perf_counter() - begun) * 1e3
                resident, store = served.resident_bytes(), served.store_bytes()
                told = json.loads(served.call("GET", "/v1/streams/s0"))
            begun = time.perf_counter()
            with service(directory, **settings) as served:
                ready_s = time.perf_counter() - begun
                assert json.loads(served.call("GET", "/v1/streams/s0"))["last_seq"] == told["last_seq"]
        base = base or rate
        rows += [
            Row(
                section, f"{name}: NDJSON, {NUM_CLIENTS} clients", "/s", rate, rate, rate / base, f"{counts[0]} stream"
            ),
            Row(section, f"{name}: processor time of the server", "µs", cpu_us, cpu_us),
            Row(section, f"{name}: /metrics", "ms", scrape_ms, scrape_ms, None, "", "at most 50 ms"),
            Row(section, f"{name}: memory of the service", "MiB", resident / 2**20, resident / 2**20),
            Row(section, f"{name}: state of a stream", "KiB", told["bytes"] / 2**10, told["bytes"] / 2**10),
            Row(section, f"{name}: memory of Redis", "MiB", store / 2**20, store / 2**20),
            Row(section, f"{name}: orderly restart until ready", "s", ready_s, ready_s),
        ]
    return rows


def flatness(num: int) -> list[Row]:
    """Cost of an observation and memory at the beginning of a stream and after many observations."""
    section = f"Flatness (GRU-16 alone, rank 1; one stream, {num:,} observations)"
    first = min(10_000, num // 10)
    with service(SNAPSHOT_INTERVAL_S="5") as served:
        served.create("s0", SPECS["GRU-16 alone, rank 1"][0])
        _send(served, 1, first)  # what is compiled and cached at the first requests is no observation's cost
        begin = _cost(served, first), served.resident_bytes(), served.store_bytes()
        while json.loads(served.call("GET", "/v1/streams/s0"))["last_seq"] < num - first:
            _send(served, 1, MAX_LINES * 2)
        end = _cost(served, first), served.resident_bytes(), served.store_bytes()
    names = ("processor time of the server", "memory of the service", "memory of Redis")
    rows = []
    for name, unit, scale, before, after in zip(
        names, ("µs", "MiB", "MiB"), (1.0, 2**20, 2**20), begin, end, strict=True
    ):
        rows.append(Row(section, f"{name}: first {first:,}", unit, before / scale, before / scale))
        rows.append(
            Row(section, f"{name}: last {first:,}", unit, after / scale, after / scale, after / before, "the first",
                "at most 1.05")
        )  # fmt: skip
    return rows


def _cost(served: Served, num: int) -> float:
    before = served.cpu_s()
    _send(served, 1, num)
    return (served.cpu_s() - before) / num * 1e6


def _send(served: Served, count: int, num: int) -> int:
    """Observations for all streams in turn; returns how many."""
    size = min(num, MAX_LINES) // NUM_CLIENTS

    def body(first: int) -> bytes:
        return "\n".join(
            f'{{"stream":"s{number % count}","x":{{"value":{number * 7 % 24}.25}}}}'
            for number in range(first, first + size)
        ).encode()

    firsts = range(0, num - size + 1, size)
    bodies = [body(first) for first in firsts]
    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        for reply in pool.map(lambda its: served.call("POST", "/v1/observations", its, NDJSON), bodies):
            assert json.loads(reply)["rejected"] == 0, reply[:500]
    return len(bodies) * size
