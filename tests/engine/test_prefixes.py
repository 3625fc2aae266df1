"""What belongs to a prefix: counted, and heard by a subscription that is confined to it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro.domain import Observation, Result
from uoro.engine.catalog import Catalog, Known
from uoro.engine.subscriptions import Hub

IDS = st.text("ab/-", min_size=1, max_size=5)


@given(streams=st.sets(IDS, max_size=30), prefix=st.text("ab/-", max_size=4))
def test_streams_are_counted_by_prefix(streams: set[str], prefix: str) -> None:
    """As many as going through all of them finds, also after some are forgotten."""
    catalog = Catalog()
    for stream in streams:
        catalog.put(stream, Known(None, {}, is_frozen=False, last_seq=0, nbytes=1))
    assert catalog.count(prefix) == sum(stream.startswith(prefix) for stream in streams)
    for stream in sorted(streams)[::2]:
        catalog.put(stream, None)
    assert catalog.count(prefix) == sum(stream.startswith(prefix) for stream in sorted(streams)[1::2])


@pytest.mark.parametrize(("prefix", "heard"), [("", ["a/1", "b/1"]), ("a/", ["a/1"]), ("a/1", ["a/1"]), ("c", [])])
def test_a_subscription_hears_of_its_prefix_only(prefix: str, heard: list[str]) -> None:
    """Whether it follows all streams or these by name; what it may not hear takes no room in its buffer."""

    async def story(streams: set[str] | None) -> list[str]:
        hub = Hub(max_subscribers=1, max_messages=len(heard))
        hub.bind(asyncio.get_running_loop())
        subscription = hub.open(prefix)
        for stream in [None] if streams is None else sorted(streams):
            hub.follow(subscription, stream)
        for stream in ("a/1", "b/1"):
            hub.publish(stream, [Result(1, None, None, None, None, None, None)], [Observation({})])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not subscription.is_overflowed
        return [told.observed.stream for told in await subscription.take()] if heard else []

    assert asyncio.run(story(None)) == heard
    assert asyncio.run(story({"a/1", "b/1"})) == heard
