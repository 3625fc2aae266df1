"""Messages of an MQTT 5 broker, learned at least once; exactly once where they carry their own `seq`.

Rules:
1. QoS 1 in a session that the broker keeps: a message is acknowledged after it was learned, so one that the broker has
   is not lost. At most MAX_IN_FLIGHT are asked for at once; they are learned one by one, in the order of their coming.
2. A message that comes again after a lost connection is recognised by its packet id, topic and payload, as long as
   this program runs. Packet ids are no positions: they are used again and again, and a program that was killed between
   the answer and the acknowledgement does not know that it has learned the message. It is learned twice then, unless
   its publisher has given it a `seq`.
3. Retained messages of before the subscription are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from queue import Empty, Full, Queue
from typing import Any

from paho.mqtt.client import Client as Connection
from paho.mqtt.client import MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from uoro.domain import STREAM_ID
from uoro.feeds.errors import FeedEndedError, MisfitError, SourceAwayError
from uoro.feeds.payloads import observation_of
from uoro_client import Client, InvalidRequest, NotFound, OutOfSequence, SequenceTaken

MAX_IN_FLIGHT = 64
MAX_WAITING = 1_000
"""Brokers send more than are in flight by the protocol: mosquitto 2.0.11 does, after the first acknowledgement."""

MAX_REMEMBERED = 4_096
SESSION_S = 7 * 24 * 3600
KEEPALIVE_S = 30
STOPPING_S = 0.2
TOPIC = "{topic}"


class MqttFeed:
    """One subscription, posted to the streams that its topics name.

    Args:
        topic: filter of the subscription.
        stream: id of the stream; `{topic}` in it stands for the message's topic.
        session: client id, under which the broker keeps the session; one program at a time has it.
        on_misfit: told the topic of a message that is set aside, and why.

    Attributes:
        num_learned: messages that were learned, or had been before under their `seq`.
        num_misfits: messages that were set aside.
        num_repeated: messages that came again and were recognised.
        is_subscribed: whether the broker has taken the subscription.
        num_dropped: messages of QoS 0 that came while MAX_WAITING others waited.
    """

    def __init__(
        self,
        client: Client,
        *,
        topic: str,
        stream: str,
        session: str,
        on_misfit: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.num_learned = 0
        self.num_misfits = 0
        self.num_repeated = 0
        self.num_dropped = 0
        self.is_subscribed = False
        self._client = client
        self._writer = client.writer()
        self._topic = topic
        self._stream = stream
        self._on_misfit = on_misfit
        self._waiting: Queue[MQTTMessage] = Queue(MAX_WAITING)
        self._is_stopping = False
        self._current: MQTTMessage | None = None
        self._done: dict[int, bytes] = {}
        self._refusal: str | None = None
        self._connection = Connection(
            CallbackAPIVersion.VERSION2, client_id=session, protocol=MQTTv5, manual_ack=True, reconnect_on_failure=True
        )
        self._connection.on_connect = self._connected
        self._connection.on_subscribe = self._subscribed
        self._connection.on_message = self._came

    def start(self, host: str, port: int, *, user: str | None = None, password: str | None = None, tls: bool) -> None:
        """Connect, and stay connected from then on. Raises SourceAwayError."""
        if user is not None:
            self._connection.username_pw_set(user, password)
        if tls:
            self._connection.tls_set()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = MAX_IN_FLIGHT
        try:
            self._connection.connect(host, port, KEEPALIVE_S, clean_start=False, properties=properties)
        except OSError as error:
            raise SourceAwayError(f"the broker: {error}") from error
        self._connection.loop_start()

    def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._is_stopping = True
        self._connection.disconnect()
        self._connection.loop_stop()

    def step(self, wait_s: float) -> int:
        """Learn the next message; returns how many there were. 0: none came in that time.

        Raises FeedEndedError; ClientError, after which it may be called again.
        """
        if self._refusal is not None:
            raise FeedEndedError(self._refusal)
        if self._current is None:
            try:
                self._current = self._waiting.get(timeout=wait_s)
            except Empty:
                return 0
        message = self._current
        if message.dup and self._done.get(message.mid) == _digest(message):
            self.num_repeated += 1
        else:
            try:
                self._learn(message)
            except MisfitError as error:
                self.num_misfits += 1
                self._on_misfit(message.topic, str(error))
            else:
                self.num_learned += 1
        self._current = None
        if message.qos:
            self._remember(message)
            self._connection.ack(message.mid, message.qos)
        return 1

    def _learn(self, message: MQTTMessage) -> None:
        """Raises MisfitError for a message that the service will never take, FeedEndedError, ClientError."""
        stream = self._stream.replace(TOPIC, message.topic)
        if not STREAM_ID.fullmatch(stream):
            raise MisfitError(f"{stream!r} is no id of a stream")
        one = observation_of(bytes(message.payload))
        try:
            if one.seq is None:
                self._writer.observe(stream, one.x, t=one.t)
            else:
                self._client.observe(stream, one.x, t=one.t, seq=one.seq)
        except (OutOfSequence, SequenceTaken) as error:
            raise FeedEndedError(f"a message of {message.topic!r} does not follow its stream: {error}") from error
        except (InvalidRequest, NotFound) as error:
            raise MisfitError(error.detail) from error

    def _remember(self, message: MQTTMessage) -> None:
        """The broker may not hear the acknowledgement, and send the message again."""
        done = self._done  # a session that was lost replaces it, on the connection's thread
        done.pop(message.mid, None)
        done[message.mid] = _digest(message)
        while len(done) > MAX_REMEMBERED:
            del done[next(iter(done))]

    def _connected(self, connection: Connection, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refusal = f"the broker refuses: {reason}"
            return
        if not flags.session_present:
            self._done = {}
        connection.subscribe(
            self._topic, options=SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        )

    def _came(self, _connection: Connection, _data: Any, message: MQTTMessage) -> None:
        """Nothing more is read from the broker while too many wait."""
        while not self._is_stopping:
            try:
                self._waiting.put(message, timeout=STOPPING_S)
            except Full:
                if message.qos == 0:
                    self.num_dropped += 1  # its publisher chose that it may be lost
                    return
            else:
                return

    def _subscribed(self, _connection: Connection, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refusal = f"the broker refuses the subscription {self._topic!r}"
        else:
            self.is_subscribed = True


def _digest(message: MQTTMessage) -> bytes:
    """Topic and payload in 16 bytes."""
    topic = message.topic.encode()
    return blake2b(b"%d:%b%b" % (len(topic), topic, bytes(message.payload)), digest_size=16).digest()
