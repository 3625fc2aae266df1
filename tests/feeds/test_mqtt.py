"""A real broker, and a double of the service with faults: what the broker has is not lost; what may double is said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mqtt_broker import MOSQUITTO, WHY_NOT, Broker, Publisher

from uoro.feeds.errors import FeedEndedError, SourceAwayError
from uoro.feeds.mqtt import MAX_IN_FLIGHT, MqttFeed
from uoro_client import Client, ClientError, Patience
from uoro_client.testing import Fault, ServiceDouble

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason=WHY_NOT)
PATIENCE_S = 30.0


class Ground:
    """A broker, a publisher, a double, and feeds from one to the other."""

    def __init__(self, directory: Path) -> None:
        self.broker = Broker(directory)
        self.broker.start()
        self.publisher = Publisher(self.broker)
        self.double = ServiceDouble()
        self.client = Client(transport=self.double.transport(), patience=Patience(max_attempts=1))
        self.misfits: list[tuple[str, str]] = []
        self.feeds: list[MqttFeed] = []

    def feed(self, **changes: Any) -> MqttFeed:
        """A feed as one that was just started, subscribed."""
        given = {"topic": "plant/#", "stream": "{topic}", "session": "session", **changes}
        feed = MqttFeed(self.client, on_misfit=lambda *told: self.misfits.append(told), **given)
        feed.start("127.0.0.1", self.broker.port, tls=False)
        self.feeds.append(feed)
        self.wait_until(lambda: feed.is_subscribed)
        return feed

    def kill(self, feed: MqttFeed) -> None:
        """What a kill does: the connection is gone, and so is all that the feed knew."""
        self.feeds.remove(feed)
        feed._connection._sock_close()
        feed._connection.loop_stop()

    def drain(self, feed: MqttFeed, num: int) -> None:
        """Until so many messages of plant/a are learned, and a moment longer."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.learned) < num:
            assert time.monotonic() < deadline, self.learned
            with suppress(ClientError):
                feed.step(0.05)
        while feed.step(0.2):
            pass

    def wait_until(self, is_so: Any) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    @property
    def learned(self) -> list[Any]:
        return [next(iter(x.values())) for x in self.double.learned.get("plant/a", [])]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    ground = Ground(tmp_path)
    yield ground
    for feed in ground.feeds:
        feed.stop()
    ground.publisher.stop()
    ground.broker.stop()


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


def test_messages_are_learned_in_order(ground: Ground) -> None:
    """More than are in flight at once, and those that came while no feed was there."""
    feed = ground.feed()
    num = 2 * MAX_IN_FLIGHT + 5
    ground.publisher.publish("plant/a", *numbers(1, 5))
    ground.drain(feed, 5)
    feed.stop()
    ground.publisher.publish("plant/a", *numbers(6, num))
    ground.drain(ground.feed(), num)
    assert ground.learned == list(range(1, num + 1))


def test_what_fails_in_between_is_learned_once(ground: Ground) -> None:
    """Lost replies and a service that is away, while the feed lives."""
    feed = ground.feed()
    ground.double.faults += [None, Fault.LOSE_REPLY, Fault.UNAVAILABLE_AFTERWARDS, None, Fault.REFUSE_CONNECTION]
    ground.publisher.publish("plant/a", *numbers(1, 6))
    ground.drain(feed, 6)
    assert ground.learned == [1, 2, 3, 4, 5, 6]


def test_a_broker_that_goes_and_comes_back(ground: Ground) -> None:
    """What was learned and not acknowledged comes again, and is recognised."""
    feed = ground.feed()
    ground.publisher.publish("plant/a", *numbers(1, 5))
    ground.wait_until(lambda: feed._waiting.qsize() == 5)
    assert feed.step(1) == feed.step(1) == 1
    ground.publisher.stop()
    ground.broker.stop()
    ground.wait_until(lambda: not feed._connection.is_connected())
    assert feed.step(1) == feed.step(1) == 1  # learned, and the acknowledgements go nowhere
    ground.broker.start()
    ground.publisher = Publisher(ground.broker)
    ground.wait_until(feed._connection.is_connected)
    ground.publisher.publish("plant/a", "6")
    ground.drain(feed, 6)
    assert ground.learned == [1, 2, 3, 4, 5, 6]
    assert feed.num_repeated >= 2


@pytest.mark.parametrize("has_seq", [True, False])
def test_a_feed_that_is_killed_before_it_acknowledges(ground: Ground, has_seq: bool) -> None:
    """With a seq the message is learned once; without one it is learned twice, which is what is promised."""
    feed = ground.feed()
    payloads = [f'{{"x": {{"v": {n}}}, "seq": {n}}}' if has_seq else str(n) for n in (1, 2, 3)]
    ground.publisher.publish("plant/a", *payloads)
    ground.wait_until(lambda: feed._waiting.qsize() == 3)
    feed._connection.ack = lambda *_: None  # type: ignore[method-assign, assignment]  # killed just before
    assert feed.step(1) == 1
    ground.kill(feed)
    ground.drain(ground.feed(), 3 if has_seq else 4)
    assert ground.learned == ([1, 2, 3] if has_seq else [1, 1, 2, 3])


def test_what_does_not_fit_is_set_aside(ground: Ground) -> None:
    """No id, no observation, or refused by the service: told, acknowledged, and the next is learned."""
    feed = ground.feed(topic="#")
    ground.publisher.publish("plant/ü", "1")
    ground.publisher.publish("plant/a", "[1]")
    ground.client.create_stream("plant/a", {"fields": {"value": {"type": "number"}}})
    ground.publisher.publish("plant/a", "warm", "3")
    ground.drain(feed, 1)
    assert [topic for topic, _ in ground.misfits] == ["plant/ü", "plant/a", "plant/a"]
    assert ground.learned == [3]


def test_a_gap_in_the_publisher_s_numbers_ends_the_feed(ground: Ground) -> None:
    """The message stays with the broker."""
    feed = ground.feed()
    ground.publisher.publish("plant/a", '{"x": {"v": 5}, "seq": 5}')
    ground.wait_until(feed._waiting.qsize)
    with pytest.raises(FeedEndedError, match="does not follow"):
        feed.step(1)


def test_retained_messages_are_left_out(ground: Ground) -> None:
    """They say what was, at a time that nobody knows."""
    ground.publisher.publish("plant/a", "1", retain=True)
    feed = ground.feed()
    ground.publisher.publish("plant/a", "2")
    ground.drain(feed, 1)
    assert ground.learned == [2]


def test_a_broker_that_is_not_there(ground: Ground) -> None:
    """Is told."""
    ground.broker.stop()
    feed = MqttFeed(ground.client, topic="t", stream="s", session="x")
    with pytest.raises(SourceAwayError):
        feed.start("127.0.0.1", ground.broker.port, tls=False)
    ground.broker.start()


def test_no_more_wait_than_may(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of QoS 1 the rest stays with the broker until there is room; of QoS 0 it is dropped, and counted."""
    monkeypatch.setattr("uoro.feeds.mqtt.MAX_WAITING", 3)
    feed = ground.feed()
    ground.publisher.publish("plant/a", *numbers(1, 9))
    time.sleep(0.5)
    assert feed._waiting.qsize() == 3
    ground.drain(feed, 9)
    assert ground.learned == list(range(1, 10))
    ground.publisher.publish("plant/a", *numbers(10, 12), qos=0)
    ground.wait_until(lambda: feed._waiting.qsize() == 3)
    assert feed.num_dropped == 0
    ground.publisher.publish("plant/a", "13", qos=0)
    ground.wait_until(lambda: feed.num_dropped == 1)
    ground.drain(feed, 12)
    assert ground.learned == list(range(1, 13))


def test_what_is_remembered_is_bounded(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr("uoro.feeds.mqtt.MAX_REMEMBERED", 2)
    feed = ground.feed()
    ground.publisher.publish("plant/a", *numbers(1, 3))
    ground.drain(feed, 3)
    assert list(feed._done) == [2, 3]
