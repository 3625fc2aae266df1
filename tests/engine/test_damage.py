"""Torn and flipped bytes in what an engine has stored: each is found, and one stream's damage stays its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from engine_ground import Ground, reference

from uoro.domain import Observed
from uoro.errors import CorruptRecord, StreamDamaged
from uoro.store.memory import MemoryStore
from uoro.store.protocol import StoredSnapshots

NUM_STREAMS = 64
NUM_ROUNDS = 3
Damage = Callable[[bytes, bytes, random.Random], bytes]


def lived(num_streams: int) -> Ground:
    """Streams s0, s1, … with a few observations and two generations each; the log is trimmed to the older one."""
    ground = Ground()
    for number in range(num_streams):
        ground.create(f"s{number}")
    for round_ in range(NUM_ROUNDS):
        for number in range(num_streams):
            ground.observe(f"s{number}", values(number)[round_ : round_ + 1])
        ground.clock.now += 10.0
        ground.snapshot()
    assert all(len(generations) == 2 for generations in ground.shelf.generations.values())
    assert ground.shelf.first > num_streams
    return ground


def values(number: int) -> list[float]:
    """What a stream sees, and one value more."""
    return [float(number + step) for step in range(NUM_ROUNDS + 1)]


def flips(record: bytes) -> Iterator[bytes]:
    """The record with one bit flipped, for every bit."""
    for place in range(len(record)):
        for bit in range(8):
            yield record[:place] + bytes([record[place] ^ 1 << bit]) + record[place + 1 :]


def tears(record: bytes) -> Iterator[bytes]:
    """The record cut at every length, and from there on filled with nothing, as a torn page is."""
    for length in range(len(record)):
        yield record[:length]
        torn = record[:length].ljust(len(record), b"\0")
        if torn != record:
            yield torn


@pytest.mark.parametrize("damaged", [flips, tears])
def test_every_damage_to_a_snapshot_is_found(damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """The snapshot of a stream that has learned, bit by bit and cut by cut: not one is read."""
    ground = lived(1)
    store, (record, _) = MemoryStore(ground.shelf), ground.shelf.generations["s0"]
    ground.shelf.generations["s0"] = [record]
    assert store.snapshots_of("s0").num_damaged == 0
    for num, changed in enumerate(damaged(record)):
        ground.shelf.generations["s0"] = [changed]
        assert store.snapshots_of("s0") == StoredSnapshots("s0", (), 1), num


@pytest.mark.parametrize("damaged", [flips, tears])
def test_every_damage_to_the_log_is_found(damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """The newest record of the log, bit by bit and cut by cut: not one is read, alone or with the others."""
    ground = lived(1)
    ground.observe("s0", [1.0, 2.0])
    store, position = MemoryStore(ground.shelf), max(ground.shelf.log)
    record = ground.shelf.log[position]
    assert store.read_record(position) is not None
    for changed in damaged(record):
        ground.shelf.log[position] = changed
        with pytest.raises(CorruptRecord):
            store.read_record(position)
        with pytest.raises(CorruptRecord):
            list(store.read_log(ground.shelf.first))


DAMAGES: dict[str, Damage] = {
    "flipped bit": lambda own, _, chance: _flipped(own, chance),
    "torn": lambda own, _, chance: own[: chance.randrange(len(own))],
    "nothing": lambda *_: b"",
    "zeros": lambda own, *_: bytes(len(own)),
    "another stream's": lambda _, other, __: other,
}


def _flipped(record: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(record))
    return record[:place] + bytes([record[place] ^ 1 << chance.randrange(8)]) + record[place + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_stream_leaves_its_63_neighbours_alone(damage: str) -> None:
    """Both generations of one stream damaged: it is set aside with a clear status; the others are bit-identical, go
    on, and are so after another crash. Deleted, the id is free again.
    """
    ground, chance = lived(NUM_STREAMS), random.Random(damage)
    victim, other = chance.sample(range(NUM_STREAMS), 2)
    kept = [number for number in range(NUM_STREAMS) if number != victim]
    states = {number: ground.state(f"s{number}") for number in kept}
    generations = ground.shelf.generations
    generations[f"s{victim}"] = [
        DAMAGES[damage](own, neighbours, chance)
        for own, neighbours in zip(generations[f"s{victim}"], generations[f"s{other}"], strict=True)
    ]
    for _ in range(2):
        ground.crash()
        assert ground.engine.describe(f"s{victim}").state == "damaged"
        assert [outcome.code for outcome in ground.observe(f"s{victim}", [1.0])] == [StreamDamaged.code]  # type: ignore[union-attr]
        assert {number: ground.state(f"s{number}") for number in kept} == states
    for number in kept:
        (outcome,) = ground.observe(f"s{number}", values(number)[NUM_ROUNDS:])
        assert isinstance(outcome, Observed)
        assert ground.state(f"s{number}") == reference(values(number)).dump()
    ground.done(ground.engine.delete(f"s{victim}"))
    ground.create(f"s{victim}")
    assert isinstance(ground.observe(f"s{victim}", [1.0])[0], Observed)


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_damaged_generation_costs_nothing(damage: str) -> None:
    """The newest generation of every stream damaged: all come back from the older one and the log, bit for bit."""
    ground, chance = lived(NUM_STREAMS), random.Random(damage)
    states = {number: ground.state(f"s{number}") for number in range(NUM_STREAMS)}
    intact = {stream: its[0] for stream, its in ground.shelf.generations.items()}
    for number in range(NUM_STREAMS):
        stream, neighbour = f"s{number}", f"s{(number + 1) % NUM_STREAMS}"
        ground.shelf.generations[stream][0] = DAMAGES[damage](intact[stream], intact[neighbour], chance)
    ground.crash()
    assert {number: ground.state(f"s{number}") for number in range(NUM_STREAMS)} == states
