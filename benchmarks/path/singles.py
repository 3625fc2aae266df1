"""Observations one by one: what a request costs the server, and how long it takes at a part of the peak."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import websockets

from path.report import Row, repeated
from path.served import Served, echo, service

CONNECTIONS = 32
SOCKETS, UNANSWERED = 8, 16
BODY = b'{"x":{"value":%d.5}}'
HEAD = (
    b"POST /v1/streams/s%d/observations HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n"
)

STEP, APPEND = "uoro_step_duration_seconds", "uoro_log_append_duration_seconds"
Load = Callable[[int, int], Awaitable[float]]


class Line:
    """One connection that asks again and again."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._number = number
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, number: int) -> Line:
        """A connection for one stream."""
        return cls(number, *await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, step: int) -> None:
        """One observation and its answer."""
        body = BODY % (step % 24)
        self._writer.write(HEAD % (self._number, len(body)) + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await self._reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))

    def close(self) -> None:
        """End it."""
        self._writer.close()


async def posts(port: int, num: int, connections: int = CONNECTIONS) -> float:
    """Requests per second of clients that each wait for their answer."""
    lines = [await Line.open(port, number) for number in range(connections)]

    async def go(line: Line) -> None:
        for step in range(num // connections):
            await line.ask(step)

    start = time.perf_counter()
    await asyncio.gather(*map(go, lines))
    rate = num / (time.perf_counter() - start)
    for line in lines:
        line.close()
    return rate


async def lone_posts(port: int, num: int) -> float:
    """The same with one client."""
    return await posts(port, num, connections=1)


async def frames(port: int, num: int) -> float:
    """Observations per second over websockets, with some unanswered at any time."""

    async def go(number: int) -> None:
        async with websockets.connect(f"ws://127.0.0.1:{port}/v1/streams/s{number}/ws") as socket:
            room = asyncio.Semaphore(UNANSWERED)

            async def read() -> None:
                for _ in range(num // SOCKETS):
                    message = await socket.recv()
                    assert '"error"' not in str(message), message
                    room.release()

            reading = asyncio.create_task(read())
            for step in range(num // SOCKETS):
                await room.acquire()
                await socket.send('{"type":"observe","id":%d,"x":{"value":%d.5}}' % (step, step % 24))  # noqa: UP031
            await reading

    start = time.perf_counter()
    await asyncio.gather(*map(go, range(SOCKETS)))
    return num / (time.perf_counter() - start)


def cost(repetitions: int, num: int) -> list[Row]:
    """Server processor time per observation, against a bare application of the same web server."""
    rows: list[Row] = []
    section = "One by one: processor time of the server (microseconds per observation, its Redis not counted)"
    loads: dict[str, tuple[Load, str]] = {
        f"POST, {CONNECTIONS} clients": (posts, "at most 2.5"),
        "POST, one client": (lone_posts, ""),
        f"websocket, {SOCKETS} sockets with {UNANSWERED} unanswered": (frames, "at most 1.5"),
    }
    with echo() as bare, service() as served:
        for name, (load, aim) in loads.items():
            for its in (bare, served):
                asyncio.run(load(its.port, num // 4))
            bare_best, bare_us = repeated(lambda load=load: _cpu_us(bare, load, num), repetitions)  # type: ignore[misc]
            _, mark = served.mean_s(STEP)
            best, median = repeated(lambda load=load: _cpu_us(served, load, num), repetitions)  # type: ignore[misc]
            step_us = served.mean_s(STEP, mark)[0] * 1e6
            rows.append(Row(section, f"{name}: bare echo", "µs", bare_best, bare_us))
            rows.append(Row(section, f"{name}: the service", "µs", best, median, median / bare_us, "bare echo", aim))
            rows.append(Row(section, f"{name}: time in the learner alone", "µs", step_us, step_us))
    return rows


def _cpu_us(served: Served, load: Load, num: int) -> float:
    before = served.cpu_s()
    asyncio.run(load(served.port, num))
    return (served.cpu_s() - before) / num * 1e6


def latency(seconds: float) -> list[Row]:
    """Time from when a POST was due to its answer, at parts of the peak; due times are random, as of many clients."""
    section = "One by one: latency of a single POST, durable, default spec"
    rows: list[Row] = []
    with service() as served:
        asyncio.run(posts(served.port, 2000))
        best, peak = repeated(lambda: asyncio.run(posts(served.port, 4000)), 3, is_rate=True)
        rows.append(Row(section, f"peak, {CONNECTIONS} clients that wait", "/s", best, peak))
        for part in (0.1, 0.5, 0.9):
            _, mark = served.mean_s(APPEND)
            times = sorted(asyncio.run(_open_loop(served.port, part * peak, seconds)))
            flush_ms = served.mean_s(APPEND, mark)[0] * 1e3
            p50, p99, p999 = (times[int(len(times) * q)] * 1e3 for q in (0.5, 0.99, 0.999))
            name = f"{part:.0%} of the peak"
            rows.append(Row(section, f"{name}: p50", "ms", p50, p50))
            rows.append(
                Row(section, f"{name}: p99", "ms", p99, p99, p99 / (4 * p50 + flush_ms), "4 p50 + one flush",
                    "at most 1" if part == 0.5 else "")
            )  # fmt: skip
            rows.append(Row(section, f"{name}: p99.9", "ms", p999, p999, p999 / p50, "p50"))
            rows.append(Row(section, f"{name}: one append with its flush", "ms", flush_ms, flush_ms))
    return rows


async def _open_loop(port: int, rate: float, seconds: float) -> list[float]:
    """Seconds each request took since it was due, whoever was late."""
    free: asyncio.Queue[Line] = asyncio.Queue()
    lines = [await Line.open(port, number) for number in range(4 * CONNECTIONS)]
    for line in lines:
        free.put_nowait(line)
    chance = random.Random(0)
    times: list[float] = []

    async def ask(due: float, step: int) -> None:
        line = await free.get()
        await line.ask(step)
        times.append(time.perf_counter() - due)
        free.put_nowait(line)

    due = time.perf_counter()
    end = due + seconds
    asked = []
    while due < end:
        due += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        asked.append(asyncio.create_task(ask(due, len(asked))))
    await asyncio.gather(*asked)
    for line in lines:
        line.close()
    return times
