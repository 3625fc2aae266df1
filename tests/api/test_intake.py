"""All large bodies under way together, at the limit and one byte past it; and that what was counted is given back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api_ground import Server, serving
from starlette.types import Message, Receive, Scope, Send

from uoro.api.intake import SMALL_BODY_BYTES, Intake
from uoro.errors import Overloaded
from uoro.limits import Limits

LARGE = str(SMALL_BODY_BYTES + 1).encode()


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that reads its body to the end, and tells of each part."""
    while (message := await receive())["more_body"]:
        await send(message)


class Body:
    """A client whose parts of a body come when the test says so."""

    def __init__(self, intake: Intake, *headers: tuple[bytes, bytes]) -> None:
        self.parts: asyncio.Queue[Message] = asyncio.Queue()
        self.taken: asyncio.Queue[Message] = asyncio.Queue()
        scope = {"type": "http", "headers": list(headers)}
        self.request = asyncio.create_task(intake(scope, self.parts.get, self.taken.put))

    async def say(self, num: int) -> None:
        """One more part; returns when it was taken or refused."""
        self.parts.put_nowait({"type": "http.request", "body": b"a" * num, "more_body": True})
        taking = asyncio.create_task(self.taken.get())
        await asyncio.wait([taking, self.request], return_when=asyncio.FIRST_COMPLETED)
        taking.cancel()

    async def end(self) -> None:
        """The last part, which is empty."""
        self.parts.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        await self.request


@pytest.mark.parametrize("header", [(b"content-length", LARGE), (b"transfer-encoding", b"chunked")])
def test_the_sum_is_bounded(header: tuple[bytes, bytes]) -> None:
    """At the limit both go on, one byte more ends the one that brought it; the other's room is its own again."""

    async def scenario() -> None:
        intake = Intake(read_all, 100)
        one, two = Body(intake, header), Body(intake, header)
        await one.say(60)
        await two.say(40)
        assert not one.request.done() and not two.request.done()
        await two.say(1)
        with pytest.raises(Overloaded):
            await two.request
        await one.say(40)
        await one.end()
        three = Body(intake, header)
        await three.say(100)
        await three.end()
        assert intake._num_bytes == 0

    asyncio.run(scenario())


def test_small_bodies_and_none_are_not_counted() -> None:
    """Up to the bound for small ones, announced; and a request without a body."""

    async def scenario() -> None:
        intake = Intake(read_all, 10)
        for headers in ([(b"content-length", b"%d" % SMALL_BODY_BYTES)], []):
            body = Body(intake, *headers)
            await body.say(SMALL_BODY_BYTES)
            await body.end()

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/v1/streams/s/observations", "/v1/observations", "/v1/streams/s/import"])
def test_it_is_told_as_429(path: str) -> None:
    """By every call that takes large bodies, with Retry-After, and nothing of it is learned."""
    with serving(auto_create=True, limits=Limits(drain_timeout_s=1.0, max_intake_bytes=1000)) as server:
        reply = answer(server, path)
        assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (429, "overloaded", "1")
        assert server.client.get("/v1/streams").json()["streams"] == []


def answer(server: Server, path: str) -> Any:
    """The answer to a body in chunks."""

    def chunks() -> Any:
        for _ in range(11):
            yield b'{"x":{"v":1}}\n'.ljust(100)

    ask = server.client.put if path.endswith("import") else server.client.post
    return ask(path, content=chunks())
