"""Gathered writes: a client gets the same bytes, in fewer pieces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro.api.gathering import MAX_GATHERED_BYTES, Gathering


class Recorder(asyncio.Transport):
    """A transport that keeps what is written, and to what it came."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.end = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        assert not self.end, "written after the end"
        self.pieces.append(bytes(data))

    def write_eof(self) -> None:
        """Half an end."""
        self.end = "eof"

    def close(self) -> None:
        """The end."""
        self.end = "closed"

    def abort(self) -> None:
        """A sudden end."""
        self.end = "aborted"

    def is_closing(self) -> bool:
        """Whether there was an end."""
        return self.end in {"closed", "aborted"}

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0


turns = st.lists(st.lists(st.binary(max_size=5), max_size=4), max_size=5)


@given(turns, st.sampled_from(["close", "write_eof", "abort"]))
def test_a_turn_is_one_write_and_nothing_is_lost(said: list[list[bytes]], end: str) -> None:
    """Any writes in any turns, then an end: a piece for each turn that wrote; all of it before an orderly end."""

    async def go() -> Recorder:
        recorder = Recorder()
        gathering = Gathering(recorder)
        for turn in said:
            for piece in turn:
                gathering.write(piece)
            if turn is not said[-1]:
                assert gathering.get_write_buffer_size() == sum(map(len, turn))
                await asyncio.sleep(0)
                assert gathering.get_write_buffer_size() == 0
        getattr(gathering, end)()
        await asyncio.sleep(0)
        return recorder

    recorder = asyncio.run(go())
    kept = said[:-1] if end == "abort" else said
    assert recorder.pieces == [b"".join(turn) for turn in kept if turn]
    assert recorder.end == {"close": "closed", "write_eof": "eof", "abort": "aborted"}[end]


@pytest.mark.parametrize("num_over", [0, 1])
def test_much_is_written_at_once(num_over: int) -> None:
    """At the bound it waits for the end of the turn, one byte past it the transport has it all."""

    async def go() -> None:
        recorder = Recorder()
        gathering = Gathering(recorder)
        for num in (MAX_GATHERED_BYTES - 1, 1, num_over):
            gathering.write(bytes(num))
        assert sum(map(len, recorder.pieces)) == num_over * (MAX_GATHERED_BYTES + 1)
        await asyncio.sleep(0)
        assert sum(map(len, recorder.pieces)) == MAX_GATHERED_BYTES + num_over

    asyncio.run(go())


def test_what_waits_for_a_client_that_is_gone_is_dropped() -> None:
    """The connection is lost within the turn: nothing is written to it."""

    async def go() -> Recorder:
        recorder = Recorder()
        gathering = Gathering(recorder)
        gathering.write(b"late")
        recorder.end = "closed"
        await asyncio.sleep(0)
        return recorder

    assert asyncio.run(go()).pieces == []


def test_the_rest_is_the_transport_s_own() -> None:
    """Every other method of a transport is passed on: none is left to the base, which has none."""

    class Named:
        def __getattr__(self, name: str) -> Any:
            return lambda *given: (name, *given)

    async def go() -> list[object]:
        gathering = Gathering(Named())  # type: ignore[arg-type]
        return [
            gathering.get_extra_info("socket"),
            gathering.set_protocol("it"),  # type: ignore[arg-type,func-returns-value]
            gathering.get_protocol(),
            gathering.is_reading(),
            gathering.can_write_eof(),
            gathering.get_write_buffer_limits(),
            gathering.is_closing(),
        ]

    assert asyncio.run(go()) == [
        ("get_extra_info", "socket", None),
        None,
        ("get_protocol",),
        ("is_reading",),
        ("can_write_eof",),
        ("get_write_buffer_limits",),
        ("is_closing",),
    ]
