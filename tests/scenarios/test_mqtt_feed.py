"""`uoro ingest mqtt`, while the service and the command itself are killed and the broker goes away."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
from feed_program import FeedProgram, assert_learned_once, last_seq, wait_beyond
from live_service import LiveService
from mqtt_broker import MOSQUITTO, WHY_NOT, Broker, Publisher

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason=WHY_NOT)
NUM_MESSAGES = 400


def publish(broker: Broker, stopping: Event) -> None:
    """Messages 1, 2, 3 …: with their seq to `numbered`, as bare numbers to `bare`, each until the broker has it."""
    publisher = Publisher(broker)
    for number in range(1, NUM_MESSAGES + 1):
        if stopping.is_set():
            break
        publisher.publish("numbered", f'{{"x": {{"v": {number}}}, "seq": {number}}}')
        publisher.publish("bare", str(number))
        time.sleep(0.01)
    publisher.stop()


def test_nothing_is_lost_and_what_has_a_seq_is_learned_once(tmp_path: Path) -> None:
    """The numbered stream's model is that of each message once, bit for bit; the bare one has each at least once."""
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker")
    service = LiveService(tmp_path)
    feed = FeedProgram(
        tmp_path / "feed.log", "mqtt", "127.0.0.1", "#", "--port", str(broker.port), "--url", service.url
    )
    stopping = Event()
    publishing = Thread(target=publish, args=(broker, stopping))
    try:
        broker.start()
        service.start()
        feed.start()
        probe = Publisher(broker)
        while not last_seq(service, "probe"):  # until the feed has subscribed
            probe.publish("probe", "1")
            time.sleep(0.1)
        probe.stop()
        publishing.start()
        wait_beyond(service, "numbered", 20)
        service.kill()
        time.sleep(0.5)
        service.start()
        wait_beyond(service, "numbered", last_seq(service, "numbered"))
        feed.kill()
        time.sleep(0.5)
        feed.start()
        wait_beyond(service, "numbered", last_seq(service, "numbered"))
        broker.stop()
        time.sleep(0.5)
        broker.start()
        publishing.join()
        wait_beyond(service, "numbered", NUM_MESSAGES - 1)
        wait_beyond(service, "bare", NUM_MESSAGES - 1)
        time.sleep(1.0)
        assert_learned_once(service, "numbered", [{"x": {"v": n}} for n in range(1, NUM_MESSAGES + 1)])
        results = httpx.get(f"{service.url}/v1/streams/bare/results", params={"limit": "64"}).json()["results"]
        shown = [its["x"]["value"] for its in results]
        assert shown == sorted(shown)
        assert shown[-1] == NUM_MESSAGES
        assert last_seq(service, "bare") >= NUM_MESSAGES
    finally:
        stopping.set()
        if publishing.ident is not None:
            publishing.join(60)
        feed.kill()
        service.end()
        broker.stop()
