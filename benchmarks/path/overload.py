"""Five times more than the service can take: what is still learned, who is refused, and how soon all is well again."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection

from path.bulk import NDJSON, SPECS
from path.report import Row
from path.served import Served, service

SPEC = SPECS["GRU-32 alone, rank 1"][0]
NUM_STREAMS = 64
LINES = 2_000
NUM_CLIENTS = 2
FACTOR = 5
MAX_UNDER_WAY = 200
"""Requests of the flood that may wait for their answers at once; a client that finds so many leaves one out."""
REST_S = 1.0


@dataclass
class _Told:
    """What the flood heard."""

    learned: int = 0
    refused: int = 0
    left_out: int = 0
    other: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def overload(duration_s: float) -> list[Row]:
    """Goodput at five times the peak, and afterwards."""
    section = (
        f"Overload (GRU-32 alone, rank 1; {NUM_STREAMS} streams, requests of {LINES:,} lines, {duration_s:.0f} s each)"
    )
    with service(MAX_QUEUE_OBSERVATIONS="50000") as served:
        for number in range(NUM_STREAMS):
            served.create(f"s{number}", SPEC)
        body = "\n".join(
            f'{{"stream":"s{number % NUM_STREAMS}","x":{{"value":{number * 7 % 24}.25}}}}' for number in range(LINES)
        ).encode()
        _closed(served, body, duration_s / 2)
        peak = _closed(served, body, duration_s)
        told, slow_ms, took_s = _open(served, body, FACTOR * peak, duration_s)
        goodput = told.learned / took_s
        begun = time.perf_counter()
        recovery_s = 0.0
        while (rate := _closed(served, body, REST_S)) < 0.8 * peak:
            recovery_s = time.perf_counter() - begun
            if recovery_s > 60.0:
                break
        length = json.loads(served.call("GET", "/v1/streams/s0"))["last_seq"]
    assert length > 0
    offered = (told.learned + told.refused + told.left_out) / duration_s
    return [
        Row(section, f"peak: {NUM_CLIENTS} clients that wait", "/s", peak, peak),
        Row(section, f"offered at {FACTOR} × the peak", "/s", offered, offered, offered / peak, "the peak"),
        Row(section, "learned meanwhile", "/s", goodput, goodput, goodput / peak, "the peak", "at least 0.8"),
        Row(section, "refused with 429", "/s", told.refused / duration_s, told.refused / duration_s),
        Row(section, "answered otherwise, or not at all", "", told.other, told.other, None, "", "0"),
        Row(section, "slowest of the single requests of a bystander", "ms", slow_ms, slow_ms),
        Row(section, "afterwards", "/s", rate, rate, rate / peak, "the peak"),
        Row(section, "until four fifths of the peak again", "s", recovery_s, recovery_s, None, "", "at most 5 s"),
    ]  # fmt: skip


def _closed(served: Served, body: bytes, duration_s: float) -> float:
    """Observations a second that are learned from clients that wait for their answers."""
    told = _Told()
    end = time.perf_counter() + duration_s

    def go(_: int) -> None:
        connection = HTTPConnection("127.0.0.1", served.port, timeout=60)
        while time.perf_counter() < end:
            _send(connection, body, told)
        connection.close()

    begun = time.perf_counter()
    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        list(pool.map(go, range(NUM_CLIENTS)))
    return told.learned / (time.perf_counter() - begun)


def _open(served: Served, body: bytes, rate: float, duration_s: float) -> tuple[_Told, float, float]:
    """What comes of requests that are sent whatever becomes of those before; a bystander's slowest request; seconds."""
    told = _Told()
    places = threading.BoundedSemaphore(MAX_UNDER_WAY)
    local = threading.local()
    slow_ms = 0.0

    def send() -> None:
        if not hasattr(local, "connection"):
            local.connection = HTTPConnection("127.0.0.1", served.port, timeout=60)
        try:
            _send(local.connection, body, told)
        except OSError:
            told.other += 1
            del local.connection
        finally:
            places.release()

    gap_s = LINES / rate
    begun = time.perf_counter()
    with ThreadPoolExecutor(MAX_UNDER_WAY) as pool:
        for number in range(int(duration_s / gap_s)):
            time.sleep(max(0.0, begun + number * gap_s - time.perf_counter()))
            if places.acquire(blocking=False):
                pool.submit(send)
            else:
                told.left_out += LINES
            if number % 50 == 0:
                start = time.perf_counter()
                served.call("GET", "/livez")
                slow_ms = max(slow_ms, (time.perf_counter() - start) * 1e3)
    return told, slow_ms, time.perf_counter() - begun


def _send(connection: HTTPConnection, body: bytes, told: _Told) -> None:
    connection.request("POST", "/v1/observations", body, {"content-type": NDJSON})
    reply = connection.getresponse()
    content = reply.read()
    with told.lock:
        if reply.status == 200:
            told.learned += json.loads(content)["accepted"]
        elif reply.status == 429:
            told.refused += LINES
        else:
            told.other += 1
