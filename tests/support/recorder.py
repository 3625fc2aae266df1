"""Clients that write down every acknowledged `seq`, and the checker that decides from that and the final state.

Every observation's value is a function of its stream and `seq`, so the state that an uninterrupted life would have
ended in can be computed in a fresh learner, and compared bit for bit with the model that the service exports.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

import httpx

from uoro.domain import Observation
from uoro.learning.learner import Learner
from uoro.learning.portable import from_safetensors
from uoro.learning.spec import StreamSpec

SPEC: dict[str, object] = {
    "fields": {"v": {"type": "number"}},
    "hidden_size": 4,
    "learner": {"name": "uoro", "rank": 1},
}
RETRY_S = 0.02


def value_of(stream: str, seq: int) -> float:
    """What stream and place show; the same in every run."""
    return random.Random(f"{stream}/{seq}").gauss(0.0, 1.0) + seq % 24


@dataclass
class Recorder:
    """One client of one stream. It goes on until stopped, sending every batch until it is acknowledged.

    Attributes:
        acknowledged: highest `seq` that a reply with status 200 named.
        num_retries: how many times a batch had to be sent again.
    """

    url: str
    stream: str
    seed: int
    acknowledged: int = 0
    num_retries: int = 0
    timeout_s: float = 30.0
    trouble: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to post on a thread of its own."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End; a batch that is not acknowledged is given up."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def address(self) -> str:
        """Where the next batch goes."""
        return self.url

    def _run(self) -> None:
        chance = random.Random(self.seed)
        with httpx.Client(timeout=self.timeout_s) as http:
            while not self._stop.is_set():
                first = self.acknowledged + 1
                # Now and then the last acknowledged ones are sent again, as a client would that lost a reply.
                start = max(1, first - chance.choice([0, 0, 0, 1, 3]))
                batch = [
                    {"x": {"v": value_of(self.stream, seq)}, "seq": seq}
                    for seq in range(start, first + chance.randint(1, 5))
                ]
                while not self._stop.is_set() and not self._post(http, batch):
                    self.num_retries += 1
                    time.sleep(RETRY_S)

    def _post(self, http: httpx.Client, batch: list[dict[str, object]]) -> bool:
        try:
            reply = http.post(f"{self.address()}/v1/streams/{self.stream}/observations", json=batch)
        except httpx.HTTPError:
            return False
        if reply.status_code in {429, 503}:
            return False
        body = reply.json()
        if reply.status_code != 200 or body["rejected"]:
            self.trouble.append(f"{reply.status_code} {body}")
            self._stop.set()
            return False
        last = batch[-1]["seq"]
        assert isinstance(last, int)
        self.acknowledged = last
        return True


def check(url: str, recorders: list[Recorder]) -> list[str]:
    """What is wrong with the service's final state, in sentences; empty if nothing is."""
    wrong: list[str] = []
    with httpx.Client(base_url=url, timeout=60) as http:
        for recorder in recorders:
            wrong += [f"{recorder.stream}: refused: {trouble}" for trouble in recorder.trouble]
            answer = http.get(f"/v1/streams/{recorder.stream}")
            if answer.status_code != 200 or answer.json()["state"] != "learning":
                wrong.append(f"{recorder.stream}: {answer.text}")
                continue
            last = answer.json()["last_seq"]
            if last < recorder.acknowledged:
                wrong.append(f"{recorder.stream}: {recorder.acknowledged} acknowledged, {last} kept: LOST")
            file = http.get(f"/v1/streams/{recorder.stream}/export")
            if from_safetensors(file.content).state != uninterrupted(recorder.stream, last):
                wrong.append(f"{recorder.stream}: the state after {last} is not that of an uninterrupted run")
    return wrong


def uninterrupted(stream: str, last_seq: int) -> bytes:
    """The state of a learner in this process that saw everything once, in order."""
    learner = Learner.new(StreamSpec.parse(SPEC))
    for seq in range(1, last_seq + 1):
        learner.observe(Observation({"v": value_of(stream, seq)}))
    return learner.dump()


def create(url: str, num_streams: int) -> None:
    """Create the streams s0, s1, …"""
    with httpx.Client(base_url=url, timeout=30) as http:
        for number in range(num_streams):
            assert http.put(f"/v1/streams/s{number}", json={"spec": SPEC}).status_code in {200, 201}


def load(url: str, num_streams: int, seed: int) -> list[Recorder]:
    """Create the streams and begin to post to each."""
    create(url, num_streams)
    recorders = [Recorder(url, f"s{number}", seed + number) for number in range(num_streams)]
    for recorder in recorders:
        recorder.start()
    return recorders
