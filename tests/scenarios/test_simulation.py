"""Nothing is lost, decided in a simulation: engine and store in one process, every choice from a seed.

A seed that fails is named in the message; it is played again, with its history, by

    UORO_SIMULATION_SEED=<seed> python -m pytest tests/scenarios/test_simulation.py -k any_life -s

The long form is part of `make campaign`: `UORO_SIMULATION_SEEDS` lives (10,000), from `UORO_SIMULATION_FIRST` on.
"""

from __future__ import annotations

import logging
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from simulation.flaws import FLAWED
from simulation.judge import judge
from simulation.world import SOUND, Doom, Parts, Piece, Temper, World

from uoro.domain import Observation
from uoro.engine import shelf
from uoro.engine.retention import Mark
from uoro.learning.learner import Learner
from uoro.learning.results import Results

NUM_SEEDS = 150
MAX_CONTROL_SEEDS = 400

POINTS = {
    "before the append": ("planned, before the append", "append: before"),
    "after the append, before it is applied": ("append: after", "appended, before the catalog and the learners"),
    "amid applying": ("amid a record",),
    "applied, before the reply": ("applied, before the reply",),
    "before a snapshot is written": ("put_snapshot: before",),
    "between the generations of two streams, before the trim": (
        "put_snapshot: after",
        "snapshot written, before the trim",
    ),
    "around the trim": ("trim: before", "trim: after"),
    "around a named snapshot": ("put_named: before", "put_named: after"),
    "around a deletion": (
        "stream ended, before its snapshots go",
        "delete_snapshots: before",
        "delete_snapshots: after",
    ),
}
"""Where a server may die in the walk of an observation and of a snapshot."""
OF_RECOVERY = ("acquire: before", "acquire: after", "bounds: before", "headings: before", "read_log: before")
NTH = (1, 2, 3, 1, 2)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What servers log while they die is of no interest."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def verdict(seed: int, parts: Parts = SOUND, dooms: Sequence[Doom] = (), temper: Temper | None = None) -> list[str]:
    """What is wrong with the life of a seed."""
    return judge(World(seed, parts, dooms, temper).play())


def again(seed: int) -> str:
    """The command that plays a seed again."""
    return f"UORO_SIMULATION_SEED={seed} python -m pytest tests/scenarios/test_simulation.py -k any_life -s"


def test_any_life_keeps_every_promise() -> None:
    """Clients, crashes, lost and late requests, takeovers, damaged snapshots: nothing lost, nothing doubled."""
    named = os.environ.get("UORO_SIMULATION_SEED")
    for seed in range(NUM_SEEDS) if named is None else [int(named)]:
        piece = World(seed).play()
        wrong = judge(piece)
        if named is not None:
            print("\n".join(map(str, piece.history)))
        assert wrong == [], again(seed)


def test_a_seed_is_the_same_life_in_every_interpreter() -> None:
    """History, ledger and points are equal here and in an interpreter that hashes in another order."""
    told = "from simulation.world import World; print(*[World(seed).play().digest() for seed in range(8)])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, "-c", told], env=env, check=True, capture_output=True, text=True).stdout
    assert there.split() == [World(seed).play().digest() for seed in range(8)]


def test_lives_are_eventful() -> None:
    """The seeds of the test above meet every kind of request and of mishap: they judge something."""
    pieces = [World(seed).play() for seed in range(40)]
    asked = Counter((its.kind, its.outcome.value) for piece in pieces for its in piece.history)
    done = {kind for kind, outcome in asked if outcome == "done"}
    assert done >= {"observe", "create", "delete", "freeze", "save", "restore", "export", "import", "clone", "results"}
    assert {outcome for _, outcome in asked} == {"done", "refused", "unknown"}
    struck = sum((piece.crashed for piece in pieces), Counter[str]())
    strikes = ("crash", "away", "store crash", "take over", "suspend", "deliver", "damage", "stop")
    assert all(struck[f"nemesis: {what}"] > 0 for what in strikes), struck


# ------------------------------------------------------------------ every named point


def life_with(doom: Doom, seed: int, *more: Doom) -> Piece:
    """A life in which nothing happens but crashes at named points; what was wrong with it is judged."""
    world = World(seed, dooms=(doom, *more), temper=Temper.calm())
    piece = world.play()
    assert judge(piece) == [], (doom, more, seed)
    return piece


@pytest.mark.parametrize("where", POINTS)
def test_a_crash_at_each_named_point_loses_nothing(where: str) -> None:
    """The server dies at the first passages of each point, and another recovers."""
    for point in POINTS[where]:
        died = [life_with(Doom(point, nth), seed).crashed[point] for seed, nth in enumerate(NTH)]
        assert sum(died) >= 3, f"{point} was not passed often enough: {died}"


@pytest.mark.parametrize("point", OF_RECOVERY)
def test_a_crash_in_the_recovery_from_a_crash_loses_nothing(point: str) -> None:
    """The server dies amid its work, and the next one at the first passages of a point of its recovery."""
    for seed, nth in enumerate(NTH):
        first = Doom("append: after", 6)
        world = World(seed, dooms=[first], temper=Temper.calm())
        num_passed = world.play().passed_at_crash[0][point]
        piece = life_with(first, seed, Doom(point, num_passed + 1), Doom(point, num_passed + 1 + nth))
        assert piece.crashed[first.point] == 1
        assert piece.crashed[point] >= 1


def test_a_crash_that_leaves_a_torn_generation_loses_nothing() -> None:
    """The newest generation is cut short on disk as server and snapshot die together: the older one does."""
    died = 0
    for seed in range(30):
        piece = World(seed, dooms=[Doom("put_snapshot: torn", 1)], temper=Temper.calm(mishap_share=0.05)).play()
        assert judge(piece) == [], seed
        died += piece.crashed["put_snapshot: torn"]
    assert died >= 5


# ------------------------------------------------------------------ positive controls


def caught(parts: Parts, complaint: str) -> int:
    """How many lives it takes until the judge makes a complaint."""
    for seed in range(MAX_CONTROL_SEEDS):
        if any(re.search(complaint, line) for line in verdict(seed, parts)):
            print(f"caught by seed {seed}")
            return seed + 1
    raise AssertionError(f"no complaint of {complaint} in {MAX_CONTROL_SEEDS} lives")


@pytest.mark.parametrize(
    ("flaw", "complaint"),
    [
        ("weaker flush", "^LOST: .* was acknowledged as"),
        ("automatic positions", "^APPLIED TWICE"),
        ("no epoch check", "^recovered: |^LOST: "),
    ],
)
def test_a_worse_store_is_caught(flaw: str, complaint: str) -> None:
    """Unflushed records lost in a crash, positions by the store with repeated appends, no look at epochs."""
    assert caught(FLAWED[flaw], complaint)


def test_arithmetic_that_depends_on_the_batch_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of several observations ends one bit of one weight away from the same ones learned singly."""
    observe_each = shelf.observe_each

    def in_a_run(runs: Sequence[tuple[Learner, Sequence[Observation], bool]]) -> list[Results | Exception]:
        found = observe_each(runs)
        for learner, observations, _ in runs:
            if len(observations) > 1:
                learner.block["core.theta"].view("u4")[0] ^= 1
        return found

    monkeypatch.setattr(shelf, "observe_each", in_a_run)
    assert caught(SOUND, "is not that of a fresh learner")


def test_a_log_trimmed_behind_the_newest_generation_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the newest generation damaged, the older one has nothing to go on from."""
    monkeypatch.setattr(
        Mark, "needs", property(lambda mark: mark.generations[-1] + 1 if mark.generations else mark.born)
    )
    assert caught(SOUND, "^LOST: recovered without the newest generations")


# ------------------------------------------------------------------ the long form


@pytest.mark.campaign
def test_campaign_of_lives() -> None:
    """As many lives as `UORO_SIMULATION_SEEDS` says, from a seed drawn anew."""
    num = int(os.environ.get("UORO_SIMULATION_SEEDS", "10000"))
    first = int(os.environ.get("UORO_SIMULATION_FIRST", random.SystemRandom().randrange(2**31)))
    print(f"UORO_SIMULATION_FIRST={first}")
    start, told, wrong = time.monotonic(), Counter[str](), {}
    for seed in range(first, first + num):
        piece = World(seed).play()
        if found := judge(piece):
            wrong[seed] = found
            print(f"{again(seed)}\n  {found[:3]}", flush=True)
        told["requests"] += len(piece.history)
        told["records"] += len(piece.disk.ledger)
        told["crashes of a server"] += sum(its for what, its in piece.crashed.items() if "nemesis" not in what)
        told["strikes"] += sum(its for what, its in piece.crashed.items() if "nemesis" in what)
    print(f"{num} lives in {time.monotonic() - start:.0f} s: {dict(told)}; wrong: {len(wrong)}")
    assert wrong == {}


@pytest.mark.campaign
def test_campaign_of_points() -> None:
    """Every named point, each of its first thirty passages, five lives each."""
    num = 0
    for point in [its for points in POINTS.values() for its in points]:
        for nth in range(1, 31):
            num += sum(life_with(Doom(point, nth), seed).crashed[point] for seed in range(5))
    print(f"{num} crashes at named points: nothing lost")
