"""Forms batches, plans them, and puts each on disk as one record: group commit.

Rules:
1. Nothing moves before the record is on disk: the catalog advances after the append, learners after that.
2. If the store refused or was not there, nothing was written: the callers hear `StoreUnavailable`.
3. If the store went away during the append, the record may be there. The callers hear `OutcomeUnknown` at once;
   then the epoch is raised, so that nothing can land late, and the log is read back: the record is applied or
   forgotten. Until that is settled nothing else is appended and whatever waits is answered 503.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from uoro.engine.catalog import Catalog
from uoro.engine.entries import encode
from uoro.engine.meter import Meter
from uoro.engine.operations import ObserveRequest, Operation
from uoro.engine.ownership import Ownership
from uoro.engine.pieces import Batch
from uoro.engine.planner import Plan, Planner
from uoro.engine.queue import Queue
from uoro.engine.runner import Runner
from uoro.errors import OutcomeUnknown, PositionConflict, StaleEpoch, StoreUnavailable, UoroError
from uoro.store.protocol import Store

_log = logging.getLogger(__name__)

RETRY_S = 0.1


@dataclass(slots=True)
class _Unsettled:
    payload: bytes
    plan: Plan


class Committer:
    """Owns the catalog and the end of the log once recovery is over.

    Attributes:
        position: of the next record.
        trouble: why the store cannot be written to, or None.
    """

    def __init__(
        self,
        store: Store,
        ownership: Ownership,
        queue: Queue,
        planner: Planner,
        catalog: Catalog,
        runner: Runner,
        meter: Meter,
        clock: Callable[[], float],
    ) -> None:
        self.position = 0
        self.trouble: str | None = None
        self._store = store
        self._ownership = ownership
        self._queue = queue
        self._planner = planner
        self._catalog = catalog
        self._runner = runner
        self._meter = meter
        self._clock = clock
        self._unsettled: _Unsettled | None = None

    def commit_once(self, timeout_s: float) -> bool:
        """Commit the next batch, or look after the store if it is away; False if there was nothing to do."""
        if self.trouble is not None:
            self._look_after_store()
            if self.trouble is not None:
                self._refuse(self._queue.drain(), StoreUnavailable(self.trouble))
                time.sleep(min(RETRY_S, timeout_s))
            return True
        operations = self._queue.take(self._clock(), timeout_s, takes_bulk=self._runner.has_room())
        if not operations:
            return False
        plan = self._planner.plan(operations, self._catalog)
        refused = Counter(error.code for answer in plan.answers for error in answer.outcomes.errors.values())
        for code, num in refused.items():
            self._meter.rejected(code, num)
        self._commit(plan, operations)
        return True

    def _commit(self, plan: Plan, operations: list[Operation]) -> None:
        if not plan.entries:
            self._runner.put(Batch(0, b"", plan.answers))
            return
        payload = encode(plan.entries)
        self._meter.batch_formed(plan.num_observations)
        start = time.perf_counter()
        try:
            self._ownership.write(lambda epoch: self._store.append(epoch, self.position, payload))
        except OutcomeUnknown as error:
            _log.warning("the outcome of record %d is unknown: %s", self.position, error)
            self._unsettled = _Unsettled(payload, plan)
            self.trouble = str(error)
            self._refuse(operations, error)
        except StoreUnavailable as error:
            _log.warning("record %d was not written: %s", self.position, error)
            self.trouble = str(error)
            self._refuse(operations, error)
        except StaleEpoch as error:
            self._refuse(operations, error)
        except PositionConflict as error:
            # Only another writer under our epoch could do this, which the store excludes: do not go on.
            _log.critical("the log is not where this server left it: %s", error)
            self._refuse(operations, StoreUnavailable(str(error)))
            raise
        else:
            self._meter.appended(time.perf_counter() - start)
            self._advance(payload, plan)

    def _advance(self, payload: bytes, plan: Plan) -> None:
        self._catalog.commit(plan.draft)
        batch = Batch(self.position, payload, plan.answers)
        self.position += 1
        self._runner.put(batch)

    def _look_after_store(self) -> None:
        try:
            if self._unsettled is None:
                self._store.ping()
            else:
                self._settle(self._unsettled)
        except StaleEpoch as error:
            self._unsettled = None
            self.trouble = str(error)
            return
        except StoreUnavailable as error:
            self.trouble = str(error)
            return
        _log.info("the store is back")
        self.trouble = None

    def _settle(self, unsettled: _Unsettled) -> None:
        self._ownership.fence()
        record = self._store.read_record(self.position)
        self._unsettled = None
        if record is not None:
            assert record.payload == unsettled.payload  # noqa: S101 - one writer, one position
            _log.info("record %d had been written and is applied now", self.position)
            self._advance(unsettled.payload, unsettled.plan)

    def _refuse(self, operations: list[Operation], error: UoroError) -> None:
        for operation in operations:
            operation.fail(error)
            if isinstance(operation.request, ObserveRequest):
                self._meter.rejected(error.code, operation.weight)
