"""Named snapshots and streams that end and begin anew under the same id."""

from __future__ import annotations

from concurrent.futures import Future
from time import monotonic, sleep
from typing import Any

import pytest
from engine_ground import SMALL, Ground

from uoro.engine.entries import Named
from uoro.learning.spec import StreamSpec


def whole(ground: Ground, future: Future[Any]) -> Any:
    """The outcome of an operation on a whole model, which needs the engine to go on meanwhile."""
    give_up = monotonic() + 30
    while not future.done():
        assert monotonic() < give_up
        ground.work()
        sleep(0.001)
    return future.result(timeout=0)


def names(ground: Ground, stream: str) -> list[str]:
    """The stream's named snapshots."""
    return [its.name for its in whole(ground, ground.engine.snapshots(stream))]


def test_what_was_kept_of_a_stream_begun_anew_survives_the_deletion_before_it() -> None:
    """Delete, create, save, and only then the snapshotter's pass: the new stream's snapshot stays."""
    ground = Ground()
    ground.create("s")
    whole(ground, ground.engine.save_snapshot("s", "old"))
    ground.done(ground.engine.delete("s"))
    ground.create("s")
    whole(ground, ground.engine.save_snapshot("s", "new"))
    ground.snapshot()
    assert names(ground, "s") == ["new"]


@pytest.mark.parametrize("is_pass_between", [False, True])
def test_after_a_crash_a_stream_begun_anew_has_its_own_named_snapshots_only(*, is_pass_between: bool) -> None:
    """The crash comes before the deletion reached the store, or after it and after a new one was kept."""
    ground = Ground()
    ground.create("s")
    whole(ground, ground.engine.save_snapshot("s", "old"))
    ground.done(ground.engine.delete("s"))
    ground.create("s")
    if is_pass_between:
        whole(ground, ground.engine.save_snapshot("s", "new"))
    ground.crash()
    ground.snapshot()
    assert names(ground, "s") == (["new"] if is_pass_between else [])


def test_a_model_read_before_the_stream_ended_is_not_kept_for_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream ends and begins anew while its model is on the way to the store: the successor's is kept."""
    ground = Ground()
    ground.create("s")
    ground.observe("s", [1.0, 2.0])
    spec = StreamSpec.parse(SMALL)
    read, is_first = ground.engine.models._read_named, True

    def read_slowly(stream: str) -> Named:
        nonlocal is_first
        named = read(stream)
        if is_first:
            is_first = False
            ground.engine.delete("s").result(timeout=30)
            ground.engine.create("s", spec, {}).result(timeout=30)
            ground.engine.snapshotter.snapshot_once()  # the intervals are not over: it only deletes
        return named

    monkeypatch.setattr(ground.engine.models, "_read_named", read_slowly)
    assert whole(ground, ground.engine.save_snapshot("s", "v")).seq == 0
