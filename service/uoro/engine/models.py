"""Whole models on the move: export, import, clone, named snapshots. Slow beside a step, so on threads of their own.

A model is read in the runner's order and comes in through the log like everything else: a clone or a restored
snapshot is logged as the model it is, so that replay needs nothing but the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

from uoro.domain import Model, NamedSnapshot, StreamInfo
from uoro.engine.catalog import Catalog
from uoro.engine.entries import Named, decode_named, encode
from uoro.engine.operations import LoadRequest
from uoro.engine.runner import Runner
from uoro.engine.snapshotter import Snapshotter
from uoro.errors import CorruptRecord, InvalidImport, InvalidRequest, Overloaded, UnknownSnapshot
from uoro.learning.learner import Learner
from uoro.learning.portable import from_safetensors, to_safetensors
from uoro.learning.spec import StreamSpec
from uoro.limits import MAX_NAMED_SNAPSHOTS
from uoro.store.protocol import Store

NUM_THREADS = 2
MAX_WAITING = 16

T = TypeVar("T")


class Models:
    """Operations on whole models.

    Args:
        submit: sends a request through the log; raises Overloaded, NotReady, StoreUnavailable.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        runner: Runner,
        snapshotter: Snapshotter,
        submit: Callable[[LoadRequest], Future[StreamInfo]],
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._runner = runner
        self._snapshotter = snapshotter
        self._submit = submit
        self._pool = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="uoro-models")
        self._places = BoundedSemaphore(MAX_WAITING)

    def close(self) -> None:
        """Let those under way finish, take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def export(self, stream: str) -> Future[bytes]:
        """The model as one safetensors file."""
        return self._later(lambda: to_safetensors(self._read(stream)[1]))

    def import_(self, stream: str, file: bytes, *, may_replace: bool) -> Future[StreamInfo]:
        """A stream from an exported file."""
        return self._later(lambda: self._load(stream, from_safetensors(file), may_replace=may_replace))

    def clone(self, stream: str, to: str) -> Future[StreamInfo]:
        """A second stream from this one's model."""
        return self._later(lambda: self._load(to, self._read(stream)[1], may_replace=False))

    def save(self, stream: str, name: str) -> Future[NamedSnapshot]:
        """Keep the model as it is now under a name; the same name again replaces."""

        def is_alive() -> bool:
            return self._catalog.get(stream) is not None

        def save() -> NamedSnapshot:
            names = self._store.names(stream)
            if name not in names and len(names) >= MAX_NAMED_SNAPSHOTS:
                raise InvalidRequest(f"a stream has at most {MAX_NAMED_SNAPSHOTS} named snapshots", field="name")
            while True:
                num_ended = self._snapshotter.num_ended
                named = self._read_named(stream)
                if self._snapshotter.put_named(stream, name, encode(named), num_ended, is_alive):
                    return NamedSnapshot(name, named.seq, named.created_at)

        return self._later(save)

    def saved(self, stream: str) -> Future[list[NamedSnapshot]]:
        """All named snapshots of a stream, by name."""

        def look() -> list[NamedSnapshot]:
            kept = ((name, self._store.read_named(stream, name)) for name in self._store.names(stream))
            named = ((name, decode_named(payload)) for name, payload in kept if payload is not None)
            return [NamedSnapshot(name, content.seq, content.created_at) for name, content in named]

        return self._later(look)

    def restore(self, stream: str, name: str) -> Future[StreamInfo]:
        """Roll the whole model back to a named snapshot, its place in the sequence included."""

        def restore() -> StreamInfo:
            payload = self._store.read_named(stream, name)
            if payload is None:
                raise UnknownSnapshot(stream, name)
            return self._load(stream, decode_named(payload).model, may_replace=True)

        return self._later(restore)

    def _later(self, call: Callable[[], T]) -> Future[T]:
        if not self._places.acquire(blocking=False):
            raise Overloaded(f"{MAX_WAITING} operations on whole models are under way, which is the limit")

        def guarded() -> T:
            try:
                return call()
            except CorruptRecord as error:
                raise InvalidImport(str(error)) from error

        future = self._pool.submit(guarded)
        future.add_done_callback(lambda _: self._places.release())
        return future

    def _read(self, stream: str) -> tuple[int, Model]:
        return self._runner.read(stream, lambda resident, learner: (learner.seq, resident.model())).result()

    def _read_named(self, stream: str) -> Named:
        return self._runner.read(
            stream, lambda resident, learner: Named(learner.seq, time.time(), resident.model(), resident.position)
        ).result()

    def _load(self, stream: str, model: Model, *, may_replace: bool) -> StreamInfo:
        spec = StreamSpec.parse(model.spec)
        last_seq = Learner.load(spec, model.state).seq
        return self._submit(LoadRequest(stream, model, spec, last_seq, may_replace)).result()
