"""More streams than fit into memory: most of them silent, some in use within the budget, and a kill at the end.

The claim is judged against the same load on a service that has only the streams in use, with room for all.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import psutil

from path.bulk import NDJSON, SPECS
from path.report import Row
from path.served import Served, service

SPEC = SPECS["GRU-32 alone, rank 1"][0]
NUM_CLIENTS = 2
LINES = 20_000
HOT = 20


def residency(num_streams: int, num_active: int, num_rounds: int) -> list[Row]:
    """Throughput, memory and restart of many registered streams of which some are in use.

    Args:
        num_streams: how many are registered; a tenth of them, beside those in use, had one observation before.
        num_active: how many of them get observations; the budget has room for a seventh more.
        num_rounds: observations that each of those gets.
    """
    section = f"Residency (GRU-32 alone, rank 1; {num_streams:,} streams, {num_active:,} of them in use)"
    budget = 2 * 2**30 * num_active // 20_000
    active = [f"s{number * (num_streams // num_active)}" for number in range(num_active)]
    with service(MEMORY_BUDGET_BYTES=str(2**36)) as served:
        _register(served, active)
        _rounds(served, active, 2)
        whole = statistics.median(_rounds(served, active, num_rounds))
    with tempfile.TemporaryDirectory() as directory:
        settings = {"MEMORY_BUDGET_BYTES": str(budget), "MAX_STREAMS": str(num_streams)}
        with service(directory, **settings) as served:
            begun = time.perf_counter()
            _register(served, [f"s{number}" for number in range(num_streams)])
            register_s = time.perf_counter() - begun
            silent = [f"s{number}" for number in range(1, num_streams, 10)]
            _rounds(served, silent, 1)
            _rounds(served, active, 2)
            before = served.resident_bytes()
            rates = _rounds(served, active, num_rounds)
            after, store = served.resident_bytes(), served.store_bytes()
            evicted = _told(served, "uoro_evictions_total")
            scrape_ms = [_timed(lambda: served.call("GET", "/metrics")) * 1e3 for _ in range(5)]
            _all_learned(served, active, num_rounds + 2)
            _kill(served)
            begun = time.perf_counter()
        with service(directory, **settings) as served:
            ready_s = time.perf_counter() - begun
            for stream in active[:: max(1, num_active // HOT)][:HOT]:
                served.call("GET", f"/v1/streams/{stream}/prediction")
            hot_s = time.perf_counter() - begun
            _all_learned(served, active, num_rounds + 2)
            all_s = time.perf_counter() - begun
    rate = statistics.median(rates)
    return [
        Row(section, "NDJSON, only the streams in use, room for all", "/s", whole, whole),
        Row(section, "NDJSON, all registered, within the budget", "/s", max(rates), rate, rate / whole, "room for all",
            "at least 0.5"),
        Row(section, f"/metrics with {num_streams:,} streams", "ms", min(scrape_ms), statistics.median(scrape_ms), None,
            "", "at most 50 ms"),
        Row(section, "memory budget", "MiB", budget / 2**20, budget / 2**20),
        Row(section, "memory of the service after the first rounds", "MiB", before / 2**20, before / 2**20),
        Row(section, "memory of the service after all", "MiB", after / 2**20, after / 2**20, after / before,
            "the first", "at most 1.05"),
        Row(section, "learners let go until then", "", evicted, evicted),
        Row(section, "memory of Redis", "MiB", store / 2**20, store / 2**20),
        Row(section, "registering one stream", "ms", register_s / num_streams * 1e3, register_s / num_streams * 1e3),
        Row(section, "kill -9: until ready again", "s", ready_s, ready_s, None, "", "at most 60 s"),
        Row(section, f"kill -9: until {HOT} streams in use have answered", "s", hot_s, hot_s, None, "", "at most 10 s"),
        Row(section, "kill -9: until every stream in use has answered", "s", all_s, all_s),
    ]  # fmt: skip


def _register(served: Served, streams: Sequence[str]) -> None:
    body = json.dumps({"spec": SPEC}).encode()

    def register(part: Sequence[str]) -> None:
        connection = HTTPConnection("127.0.0.1", served.port, timeout=900)
        for stream in part:
            connection.request("PUT", f"/v1/streams/{stream}", body, {"content-type": "application/json"})
            reply = connection.getresponse()
            content = reply.read()
            assert reply.status == 201, content
        connection.close()

    parallel = 4 * NUM_CLIENTS
    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(register, [streams[first::parallel] for first in range(parallel)]))


def _rounds(served: Served, streams: Sequence[str], num_rounds: int) -> list[float]:
    """Give each stream so many observations, a round each; observations a second of every round."""
    rates = []
    for number in range(num_rounds):
        bodies = [
            "\n".join(f'{{"stream":"{stream}","x":{{"value":{number * 7 % 24}.25}}}}' for stream in part).encode()
            for part in (streams[first : first + LINES // 4] for first in range(0, len(streams), LINES // 4))
        ]
        begun = time.perf_counter()
        with ThreadPoolExecutor(NUM_CLIENTS) as pool:
            for reply in pool.map(lambda body: served.call("POST", "/v1/observations", body, NDJSON), bodies):
                assert json.loads(reply)["rejected"] == 0, reply[:500]
        rates.append(len(streams) / (time.perf_counter() - begun))
    return rates


def _all_learned(served: Served, streams: Sequence[str], num: int) -> None:
    """Every stream in use has learned every observation: its metrics, which wait for its own past, say so."""

    def ask(part: Sequence[str]) -> None:
        connection = HTTPConnection("127.0.0.1", served.port, timeout=900)
        for stream in part:
            connection.request("GET", f"/v1/streams/{stream}/metrics")
            told = json.loads(connection.getresponse().read())
            assert told["observations"] == num, (stream, told)
        connection.close()

    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        list(pool.map(ask, [streams[first::NUM_CLIENTS] for first in range(NUM_CLIENTS)]))


def _told(served: Served, metric: str) -> float:
    lines = served.call("GET", "/metrics").decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{metric} "))


def _timed(call: object) -> float:
    begun = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - begun


def _kill(served: Served) -> None:
    """Kill the service and its Redis at once."""
    children = psutil.Process(served.pid).children(recursive=True)
    for pid in (served.pid, *(child.pid for child in children)):
        os.kill(pid, signal.SIGKILL)
    psutil.wait_procs(children, timeout=10)
