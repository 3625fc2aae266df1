"""A real broker that keeps its sessions on disk, which tests start, stop, kill and start again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from live_service import free_port
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
MOSQUITTO = shutil.which("mosquitto", path=PATH)
WHY_NOT = "no mosquitto on this machine (Debian: apt-get install mosquitto)"


class Broker:
    """One mosquitto; what is in `directory` outlives it."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._config = directory / "mosquitto.conf"
        self._log = directory / "mosquitto.log"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {directory}/\nmax_queued_messages 0\nuser root\n"
        )
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        with self._log.open("ab") as log:
            self._running = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            probe = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
            try:
                probe.connect("127.0.0.1", self.port)
            except OSError:
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.02)
            else:
                probe.disconnect()
                return

    def stop(self) -> None:
        """SIGTERM: it writes its sessions down."""
        if self._running is not None:
            self._running.terminate()
            self._running.wait(30)
            self._running = None


class Publisher:
    """Publishes at QoS 1, each message until the broker has it."""

    def __init__(self, broker: Broker) -> None:
        self._connection = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self._connection.connect("127.0.0.1", broker.port)
        self._connection.loop_start()

    def publish(self, topic: str, *payloads: str, qos: int = 1, retain: bool = False) -> None:
        for payload in payloads:
            self._connection.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(30)

    def stop(self) -> None:
        self._connection.disconnect()
        self._connection.loop_stop()
