"""Rude clients on bare sockets: slow, silent, endless, too many. Each limit at its value and one past it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send
from wire_ground import HANDSHAKE, Rude, WireServer, masked, wired

from uoro import limits
from uoro.wire.allowance import Allowance
from uoro.wire.descriptors import RESERVED, make_room
from uoro.wire.guard import FRAGMENTED, HEAD_TIMEOUT, HEAD_TOO_LARGE, PIPELINED, STALLED, TOO_MANY

SHORT = Allowance(head_s=0.2, keep_alive_s=60, stall_s=0.3, min_drained_bytes=2**16, turn_away_s=0.1)
GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[WireServer]:
    """A server that gives heads and readers a fraction of a second, and idle connections a minute."""
    with wired(SHORT) as ground:
        yield ground


@pytest.fixture(scope="module")
def patient() -> Iterator[WireServer]:
    """A server with the limits that the service has."""
    with wired() as ground:
        yield ground


# ------------------------------------------------------------------ time


def test_a_connection_that_says_nothing_is_closed(server: WireServer) -> None:
    """Without an answer, since nothing was asked."""
    before = server.meter.cuts[HEAD_TIMEOUT]
    with server.connect() as client:
        assert client.rest() == b""
    assert server.meter.cuts[HEAD_TIMEOUT] > before


@pytest.mark.parametrize(
    "head",
    [b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 10_000, b"\r\n" * 10_000, b"GET /" + b"a" * 10_000],
    ids=["field", "blank lines", "address"],
)
def test_a_head_that_comes_byte_by_byte_is_given_up(server: WireServer, head: bytes) -> None:
    """Each byte in time does not make it a head in time."""
    with server.connect() as client:
        try:
            for byte in head:
                client.say(bytes([byte]))
                time.sleep(0.01)
                if not client.is_open():
                    break
        except ConnectionError:
            pass
        assert not client.is_open()


def test_after_an_answer_the_next_head_has_its_time_too(server: WireServer) -> None:
    """A blank line ends uvicorn's own wait for the next request, and must not end the last one there is."""
    with server.connect(GET) as client:
        assert client.answer()[0] == 200
        client.say(b"\r\n")
        assert client.rest() == b""


def test_a_body_nobody_asked_for_keeps_no_connection(server: WireServer) -> None:
    """A call without a body answers at once; what drips in of the body that was announced is not waited for."""
    with server.connect(b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n") as client:
        assert client.answer()[0] == 200
        try:
            for _ in range(1000):
                client.say(b"a")
                time.sleep(0.01)
                if not client.is_open():
                    break
        except ConnectionError:
            pass
        assert not client.is_open()


def test_an_idle_connection_is_closed() -> None:
    """After the time to keep it alive, which is shorter than that for a head."""
    with wired(Allowance(keep_alive_s=1)) as server, server.connect(GET) as client:
        assert client.answer()[0] == 200
        assert client.rest() == b""
        assert server.meter.cuts[HEAD_TIMEOUT] == 0


def test_within_its_time_everything_is_answered(server: WireServer) -> None:
    """A head in pieces, requests after pauses, two at once: the guard lets through what is not rude."""
    with server.connect(GET[:7]) as client:
        time.sleep(0.05)
        client.say(GET[7:])
        assert client.answer()[0] == 200
        for _ in range(5):
            time.sleep(0.1)
            client.say(GET + GET)
            assert (client.answer()[0], client.answer()[0]) == (200, 200)


def test_a_response_in_the_making_has_no_deadline_of_a_head() -> None:
    """An application that takes longer than a head may is waited for."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        import asyncio  # noqa: PLC0415 - here alone

        await asyncio.sleep(1.0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    with wired(SHORT, app=slow) as server:
        assert server.ask(GET) == (200, b"ok")


# ------------------------------------------------------------------ readers


BIG = 8 * 2**20


async def big(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with more than the buffers of a system hold; over a websocket goes on for ever."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "bytes": b"a" * 2**16})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % BIG)]})
        await send({"type": "http.response.body", "body": b"a" * BIG})


@pytest.mark.parametrize("said", [GET, GET.replace(b"Host", b"Connection: close\r\nHost"), HANDSHAKE])
def test_a_client_that_does_not_read_is_cut_off(said: bytes) -> None:
    """However its connection is: kept, closing behind what is unsent, or a websocket."""
    with wired(SHORT, app=big) as server, server.connect(said, receive_buffer=4096):
        server.wait_for(lambda: server.meter.cuts[STALLED] == 1)
        server.wait_for(lambda: server.meter.num_open == 0)


def test_a_client_that_reads_slowly_gets_everything() -> None:
    """More than the least in each window, over several windows."""
    with wired(SHORT, app=big) as server, server.connect(GET) as client:
        client.head()
        num_bytes = 0
        while part := client.socket.recv(2**16):
            num_bytes += len(part)
            if num_bytes == BIG:
                break
            time.sleep(0.005)
        assert num_bytes == BIG
        assert not server.meter.cuts[STALLED]


def test_a_subscriber_that_stops_reading_is_evicted() -> None:
    """The service itself: its results stop being taken, its pings unanswered, and its place becomes free."""
    with wired(SHORT) as server, server.connect(HANDSHAKE, receive_buffer=4096) as client:
        assert b" 101 " in client.head()
        client.say(masked(1, b'{"type":"subscribe"}'))
        server.wait_for(lambda: len(server.engine.hub) == 1)
        body = b"[" + b",".join([b'{"x":{"v":1}}'] * 1000) + b"]"
        post = b"POST /v1/streams/s/observations HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        while server.meter.num_open == 1:
            assert server.ask(post % len(body) + body)[0] == 200
            server.wait_for(lambda: server.meter.num_open <= 1)
        server.wait_for(lambda: len(server.engine.hub) == 0)


def test_a_websocket_that_does_not_answer_pings_is_closed() -> None:
    """A client that reads and answers stays; one that is silent goes, and its place becomes free."""
    with (
        wired(Allowance(ping_s=0.1)) as server,
        server.connect(HANDSHAKE) as silent,
        server.connect(HANDSHAKE) as lively,
    ):
        for client in (silent, lively):
            assert b" 101 " in client.head()
        for _ in range(10):
            frame = lively.socket.recv(6)
            assert frame[:2] == b"\x89\x04", frame
            lively.say(masked(10, frame[2:]))
        rest = silent.rest()
        assert b"keepalive ping timeout" in rest
        server.wait_for(lambda: server.meter.num_open == 1)
        assert lively.is_open() or lively.socket.recv(1) == b"\x89"


def test_pings_of_a_client_that_does_not_read_pile_up_nowhere() -> None:
    """Their answers are dropped once it has not taken those before; what waits stays below a few read buffers."""
    with wired(Allowance(stall_s=60.0)) as server, server.connect(HANDSHAKE, receive_buffer=4096) as client:
        client.head()
        (connection,) = server.guard._open
        transport = connection.transport  # type: ignore[attr-defined]
        pings = masked(9, b"a" * 125) * 1000
        for _ in range(200):  # 26 MB
            client.say(pings)
        server.wait_for(lambda: transport.get_write_buffer_size() > 0)
        assert transport.get_write_buffer_size() < 2**20


# ------------------------------------------------------------------ handshakes


def test_a_handshake_that_is_not_completed_is_closed(server: WireServer) -> None:
    """Half of it, and then nothing."""
    with server.connect(HANDSHAKE[:-2]) as client:
        assert client.rest() == b""


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Host: a", b"Host: a\r\nContent-Length: 5"), 400),
        ((b"Host: a", b"Host: a\r\nX: " + b"a" * 9000), 400),
        ((b"GET", b"POST"), 405),
        ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 7"), 400),
        ((b"AAAAAAAAAAAAAAAAAAAAAA==", b"AAAA"), 400),
        ((b"/v1/ws", b"/v1/ws/nowhere"), 403),
    ],
)
def test_a_handshake_that_makes_no_sense_is_answered(
    server: WireServer, change: tuple[bytes, bytes], status: int
) -> None:
    """And closed: none is left waiting for what never comes."""
    with server.connect(HANDSHAKE.replace(*change)) as client:
        assert int(client.head()[9:12]) == status
        client.rest()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\xff" * 100, 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x81\x02{}", 1002),
        (masked(9, b"a" * 126), 1002),
        (masked(0, b"{}"), 1002),
        (masked(1, b"\xff\xfe"), 1007),
        (b"\x81\xff" + (2**40).to_bytes(8) + b"\0\0\0\0", 1009),
    ],
    ids=["bits", "opcode", "unmasked", "long ping", "no beginning", "no UTF-8", "a terabyte"],
)
@pytest.mark.parametrize("is_early", [False, True])
def test_a_breach_of_the_protocol_closes_the_websocket(
    server: WireServer, frames: bytes, code: int, is_early: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """With its code once the handshake is over, at once where it comes before, and no failure is logged."""
    with server.connect(HANDSHAKE) as client:
        if is_early:
            client.say(frames)
        assert b" 101 " in client.head() or is_early
        client.say(frames)
        said = client.rest()
    assert is_early or said[2:4] == code.to_bytes(2)
    assert [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}] == []


# ------------------------------------------------------------------ size


def request(num_headers: int = 1, num_bytes: int = 0) -> bytes:
    """A request with so many header fields, its head so many bytes by the service's count."""
    fields = [(b"h%03d" % number, b"") for number in range(num_headers - 1)]
    counted = len(b"/livez") + sum(len(name) + 4 for name, _ in fields) + len(b"last") + 4
    fields.append((b"last", b"a" * max(num_bytes - counted, 0)))
    return b"GET /livez HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % field for field in fields) + b"\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (request(num_headers=limits.MAX_HEADERS), 200),
        (request(num_headers=limits.MAX_HEADERS + 1), 431),
        (request(num_bytes=limits.MAX_HEAD_BYTES), 200),
        (request(num_bytes=limits.MAX_HEAD_BYTES + 1), 431),
        (request(num_bytes=50 * limits.MAX_HEAD_BYTES), 431),
        (b"GET /livez?" + b"a" * limits.MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
    ],
    ids=["fields", "one field more", "bytes", "one byte more", "many bytes more", "address"],
)
def test_a_head_is_bounded(patient: WireServer, said: bytes, status: int) -> None:
    """In fields and in bytes, at the limit and one past it; beyond it the answer is a problem document."""
    with patient.connect() as client:
        try:
            client.say(said)
        except ConnectionError:
            assert status == 431  # it need not be read to its end
        got, body = client.answer()
        assert got == status
        assert status == 200 or json.loads(body)["code"] == HEAD_TOO_LARGE


@pytest.mark.parametrize("endless", [b"GET /livez HTTP/1.1\r\nX: ", b"GET /", b"POST / HTTP/1.1\r\nX-"])
def test_a_line_without_an_end_is_given_up(patient: WireServer, endless: bytes) -> None:
    """The parser tells nothing of it until it ends; the bytes are counted before it."""
    with patient.connect(endless) as client:
        num_bytes = 0
        try:
            while num_bytes < 2**23:
                client.say(b"a" * 2**15)
                num_bytes += 2**15
        except ConnectionError:
            pass
        assert num_bytes < 2**23


def test_trailers_are_bounded_and_not_kept(patient: WireServer) -> None:
    """Fields behind a chunked body count as fields of the head, and never become such."""
    head = b"POST /v1/streams/t/observations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b'{"x":{"v":1}}'
    chunked = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    few = b"Content-Encoding: gzip\r\n\r\n"
    with patient.connect(head + chunked + few) as client:
        assert client.answer()[0] == 200
    many = b"X: y\r\n" * limits.MAX_HEADERS
    with patient.connect(head + chunked + many + b"\r\n") as client:
        client.rest()
    assert patient.meter.cuts[HEAD_TOO_LARGE] >= 1


def test_requests_that_wait_for_answers_are_bounded() -> None:
    """So many behind the one that is answered are; one more ends the connection."""
    with wired(Allowance(max_pipelined=3)) as server:
        with server.connect(GET * 4) as client:
            assert [client.answer()[0] for _ in range(4)] == [200] * 4
        with server.connect(GET * 5) as client:
            client.rest()
        assert server.meter.cuts == {PIPELINED: 1}


def test_fragments_of_a_message_are_bounded() -> None:
    """So many make a message, empty ones or not; one more closes with 1009."""
    with wired(Allowance(max_fragments=4)) as server:
        for num, is_taken in ((4, True), (5, False)):
            with server.connect(HANDSHAKE) as client:
                client.head()
                client.say(masked(1, b'{"type":"predict","stream":"s"}', fin=False))
                for _ in range(num - 2):
                    client.say(masked(0, b"", fin=False))
                client.say(masked(0, b""))
                said = client.socket.recv(2**10)
                assert (b"unknown_stream" in said) is is_taken
                assert is_taken or said[2:4] == (1009).to_bytes(2)
        assert server.meter.cuts == {FRAGMENTED: 1}


def test_websockets_are_not_compressed(patient: WireServer) -> None:
    """An offer to is not taken up: a kilobyte could stand for a megabyte."""
    offer = HANDSHAKE.replace(b"Host: a", b"Host: a\r\nSec-WebSocket-Extensions: permessage-deflate")
    with patient.connect(offer) as client:
        head = client.head()
    assert b" 101 " in head
    assert b"deflate" not in head


# ------------------------------------------------------------------ number


def test_connections_are_bounded() -> None:
    """The last that fits is answered; one more is told so at once; when one leaves there is room again."""
    with wired(Allowance(max_connections=3, turn_away_s=60.0)) as server:
        kept = [server.connect(GET) for _ in range(2)] + [server.connect(HANDSHAKE)]
        assert [client.answer()[0] for client in kept] == [200, 200, 101]
        with server.connect(GET) as surplus:
            status, body = surplus.answer()
            assert (status, json.loads(body)["code"]) == (503, "too_many_connections")
            assert surplus.rest() == b""
        assert server.meter.cuts == {TOO_MANY: 1}
        kept.pop().reset()
        server.wait_for(lambda: server.meter.num_open == 2)
        with server.connect(GET) as client:
            assert client.answer()[0] == 200
        for client in kept:
            client.reset()


def test_one_without_room_that_says_nothing_is_answered_all_the_same() -> None:
    """After a moment; and of such there are so many at most."""
    with wired(Allowance(max_connections=1, max_turned_away=2, turn_away_s=0.5)) as server:
        with server.connect(GET) as first, server.connect() as second, server.connect() as third:
            assert first.answer()[0] == 200
            server.wait_for(lambda: server.guard.num_turned_away == 2)
            with server.connect() as fourth:
                assert fourth.rest() == b""
            assert b" 503 " in second.rest()[:13]
            assert b" 503 " in third.rest()[:13]
        server.wait_for(lambda: server.guard.num_turned_away == 0)


def test_every_kind_of_end_frees_the_place() -> None:
    """Orderly, by reset, in the middle of a head or a body, of an HTTP connection or a websocket."""
    with wired() as server:
        beginnings = [b"", GET[:5], GET, b"POST /v1/observations HTTP/1.1\r\nContent-Length: 9\r\n\r\n{", HANDSHAKE]
        for said in beginnings:
            for leave in (Rude.reset, lambda client: client.__exit__()):
                leave(server.connect(said))
        server.wait_for(lambda: server.meter.num_open == 0 and not server.guard._open)


def test_room_for_connections_is_made() -> None:
    """The process's own bound on files is raised as far as it may be, and never lowered."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert make_room(1) == 1
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
        resource.setrlimit(resource.RLIMIT_NOFILE, (RESERVED, before[1]))
        assert make_room(10) == min(10, before[1] - RESERVED)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == RESERVED + 10
        assert make_room(2**40) == before[1] - RESERVED
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.campaign
def test_campaign_of_rude_clients() -> None:
    """All kinds at once, many of each, for `UORO_CAMPAIGN_RUDE_S` seconds, while one that is not rude is answered."""
    seconds = float(os.environ.get("UORO_CAMPAIGN_RUDE_S", "60"))
    with wired(Allowance(max_connections=200, head_s=1.0, stall_s=1.0)) as server:
        said = [b"", GET[:9], b"\r\n", HANDSHAKE[:-2], HANDSHAKE, HANDSHAKE + masked(9, b"") * 1000, GET * 50]
        said += [b"POST /v1/observations HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", b"GET /" + b"a" * 10**5]
        stop = threading.Event()

        def be_rude(beginning: bytes) -> None:
            while not stop.is_set():
                try:
                    client = server.connect(beginning, receive_buffer=4096)
                    stop.wait(0.5)
                    client.reset()
                except OSError:
                    stop.wait(0.05)

        threads = [threading.Thread(target=be_rude, args=(kind,)) for kind in said for _ in range(15)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        num = 0
        while time.monotonic() < end:
            assert server.ask(GET)[0] == 200
            num += 1
        stop.set()
        for thread in threads:
            thread.join()
        server.wait_for(lambda: server.meter.num_open == 0)
        print(f"{num} answers in {seconds:.0f} s beside {len(threads)} rude clients; cut: {dict(server.meter.cuts)}")
