"""A real Redis Stream, and a double of the service with faults: each entry is learned once, in order, or it is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer

from uoro.feeds.errors import FeedEndedError, SourceAwayError
from uoro.feeds.redis_stream import MAX_ENTRIES, RedisFeed
from uoro_client import Client, ClientError, Patience
from uoro_client.testing import Fault, ServiceDouble

pytestmark = pytest.mark.skipif(REDIS_PROGRAM is None, reason=WHY_NOT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests."""
    assert REDIS_PROGRAM is not None
    server = RedisServer(REDIS_PROGRAM, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


class Ground:
    """A Redis Stream `k`, a double, and feeds from one to the other."""

    def __init__(self, redis: Redis) -> None:
        self.redis: Any = redis
        self.double = ServiceDouble(auto_create=False)
        self.client = Client(transport=self.double.transport(), patience=Patience(max_attempts=1))
        self.misfits: list[str] = []
        self._ms = 0

    def feed(self, **changes: Any) -> RedisFeed:
        """A feed as one that was just started."""
        given = {"key": "k", "group": "g", "stream": "s", **changes}
        return RedisFeed(self.redis, self.client, on_misfit=lambda *told: self.misfits.append(told[0]), **given)

    def add(self, *values: object) -> None:
        """Entries of the field v, a second apart."""
        for value in values:
            self._ms += 1000
            self.redis.xadd("k", {"v": str(value)}, id=f"{self._ms}-0")

    def position(self) -> dict[str, str]:
        return dict(self.redis.hgetall("uoro:ingest:g:k"))

    @property
    def learned(self) -> list[Any]:
        return [x["v"] for x in self.double.learned.get("s", [])]


@pytest.fixture
def ground(server: RedisServer) -> Iterator[Ground]:
    """An empty Redis."""
    with Redis(unix_socket_path=str(server.socket), decode_responses=True) as redis:
        redis.flushall()
        yield Ground(redis)


def drain(feed: RedisFeed) -> None:
    while feed.step(1):
        pass


def test_entries_are_learned_in_order_with_their_times(ground: Ground) -> None:
    """The stream is made of the first entries, and the group shows how far the feed is."""
    ground.add(*range(MAX_ENTRIES + 3))
    feed = ground.feed()
    assert [feed.step(1), feed.step(1), feed.step(1)] == [MAX_ENTRIES, 3, 0]
    assert ground.learned == list(range(MAX_ENTRIES + 3))
    assert ground.double.times["s"][0] == "1970-01-01T00:00:01.000Z"
    assert ground.position() == {"stream": "s", "last_id": "67000-0", "next_seq": "68"}
    (group,) = ground.redis.xinfo_groups("k")
    assert (group["name"], group["last-delivered-id"], group["pending"]) == ("g", "67000-0", 0)


def test_a_feed_waits_for_its_first_entry(ground: Ground) -> None:
    """Nothing is made before there is something to make it of."""
    feed = ground.feed()
    assert feed.step(1) == 0
    assert "s" not in ground.double.learned
    ground.add(5)
    assert feed.step(1) == 1
    assert ground.learned == [5]


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("place", [0, 1, 2])
def test_whatever_fails_is_learned_once(ground: Ground, fault: Fault, place: int) -> None:
    """Each fault at each call of the first step, then a new feed, then more entries."""
    ground.add(1, 2, 3)
    ground.double.faults += [*[None] * place, fault]
    feed = ground.feed()
    for _ in range(3):
        with suppress(ClientError):
            drain(feed)
    ground.add(4, 5)
    drain(ground.feed())
    assert ground.learned == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_position_that_was_not_kept(ground: Ground, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Learned, and then this Redis fails, with the position moved or not: the same numbers, nothing twice."""
    ground.add(1, 2)
    feed = ground.feed()
    drain(feed)
    ground.add(3, "x", 4)
    move = RedisFeed._move

    def fail(self: RedisFeed, *positions: Any) -> Any:
        if when == "after":
            move(self, *positions)
        raise NoConnection("gone")

    with monkeypatch.context() as patched:
        patched.setattr(RedisFeed, "_move", fail)
        with pytest.raises(SourceAwayError):
            feed.step(1)
    ground.add(5)
    drain(feed if when == "before" else ground.feed())
    assert ground.learned == [1, 2, 3, 4, 5]
    assert ground.position()["next_seq"] == "6"


def test_what_does_not_fit_is_set_aside_and_takes_no_number(ground: Ground) -> None:
    """The same again when it is read again."""
    ground.add(1, "two", 3)
    ground.redis.xadd("k", {"other": "1"})
    ground.redis.xadd("k", {"v": "4", "other": "1"})
    ground.client.create_stream("s", {"fields": {"v": {"type": "number"}}})
    feed = ground.feed()
    drain(feed)
    assert ground.learned == [1, 3]
    assert (feed.num_learned, feed.num_misfits, len(ground.misfits)) == (2, 3, 3)


def test_two_feeds_at_once_do_no_harm(ground: Ground) -> None:
    """They read the same entries under the same numbers; the one that comes second to the position ends."""
    ground.add(1, 2)
    one, two = ground.feed(), ground.feed()
    assert one.step(1) == 2
    assert two.step(1) == 0  # it began where the first one was
    ground.add(3)
    assert one.step(1) == 1
    ground.add(4)
    with pytest.raises(FeedEndedError, match="another reader"):
        two.step(1)
    drain(one)
    assert ground.learned == [1, 2, 3, 4]


def test_a_stream_that_exists_goes_on(ground: Ground) -> None:
    """The first entry has the place behind what was there."""
    ground.client.create_stream("s", {"fields": {"v": {"type": "number"}}})
    ground.client.observe("s", {"v": 0.5})
    ground.add(1, 2)
    drain(ground.feed())
    assert ground.learned == [0.5, 1, 2]


def test_a_position_and_a_stream_that_do_not_belong_together(ground: Ground) -> None:
    """Gone, behind, too far ahead, or another stream: the feed says what to do, and moves nothing."""
    ground.add(1, 2)
    drain(ground.feed())
    before = ground.position()
    ground.add(3)
    with pytest.raises(FeedEndedError, match="another group"):
        ground.feed(stream="other").step(1)
    for num in (1, 3 + MAX_ENTRIES):
        ground.double.learned["s"] = [{"v": 0.0}] * num
        ground.double.times["s"] = [None] * num
        with pytest.raises(FeedEndedError, match="delete the key"):
            ground.feed().step(1)
    ground.client.delete_stream("s")
    with pytest.raises(FeedEndedError, match="is gone"):
        ground.feed().step(1)
    assert ground.position() == before


def test_a_duplicate_that_is_something_else_is_noticed(ground: Ground) -> None:
    """Another writer took the place, or this Redis lost entries and got others: the times differ."""
    ground.add(1, 2)
    drain(ground.feed())
    ground.client.observe("s", {"v": 9.0}, t="2026-01-31T00:00:00Z")
    ground.add(3)
    with pytest.raises(FeedEndedError, match="holds another observation"):
        ground.feed().step(1)
    assert ground.learned == [1, 2, 9.0]


def test_the_judge_of_kept_positions_sees(ground: Ground) -> None:
    """Negative control: with a position of one's own making entries are lost and doubled, and the feed says so."""
    ground.add(1, 2, 3)
    drain(ground.feed())
    ground.redis.hset("uoro:ingest:g:k", mapping={"last_id": "1000-0", "next_seq": "4"})
    drain(ground.feed())
    assert ground.learned == [1, 2, 3, 2, 3]
