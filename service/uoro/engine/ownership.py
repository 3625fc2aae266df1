"""This engine's hold on the shard: its epoch, and what to do when the store says it is over.

Rules:
1. Every write carries the epoch through `write`. A refusal as stale is final only if a fence is refused, too: this
   engine itself may have raised the epoch meanwhile, also by a fence whose reply was lost.
2. Once lost, nothing is written any more, and whatever asks for it is refused. What had got into the log before is
   still applied and answered: the next owner has it, too.
3. A write whose outcome is unknown may still be on its way. Before the next one the epoch is raised, so that it lands
   before that or never: a late snapshot must not replace a newer one, nor a late deletion what began since.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from uoro.errors import OutcomeUnknown, StaleEpoch, StoreUnavailable
from uoro.store.protocol import Store

T = TypeVar("T")


class Ownership:
    """The epoch under which this engine writes.

    Attributes:
        is_lost: another owner has taken the shard.
    """

    def __init__(self, store: Store, owner: str, on_lost: Callable[[], None]) -> None:
        self._store = store
        self._owner = owner
        self._on_lost = on_lost
        self._epoch = 0
        self._doubtful = 0  # the newest epoch under which something may still be on its way
        self._fencing = Lock()
        self.is_lost = False

    def acquire(self) -> None:
        """Take the shard. Raises Unavailable while another owner is alive, StoreUnavailable."""
        self._epoch = self._store.acquire(self._owner)

    def write(self, call: Callable[[int], T]) -> T:
        """Make a write under an epoch of which no other is under way in doubt.

        Raises StaleEpoch once the shard is lost, StoreUnavailable, and what `call` does.
        """
        while True:
            if self._doubtful == self._epoch:
                self._leave_doubt()
            epoch = self._epoch
            if self.is_lost:
                raise StaleEpoch("another server has taken this shard; this one stops")
            try:
                return call(epoch)
            except OutcomeUnknown:
                with self._fencing:
                    self._doubtful = max(self._doubtful, epoch)
                raise
            except StaleEpoch:
                with self._fencing:
                    if self._epoch == epoch:
                        self._raise_epoch()

    def fence(self) -> None:
        """Raise the epoch, so that no append still under way can land. Raises StaleEpoch, StoreUnavailable."""
        with self._fencing:
            self._raise_epoch()

    def renew(self) -> None:
        """Keep the lease. Raises StaleEpoch, StoreUnavailable."""
        self.write(self._store.renew)

    def release(self) -> None:
        """Give the shard up, if it is still ours. Raises StoreUnavailable."""
        if self._epoch and not self.is_lost:
            self._store.release(self._epoch)

    def _leave_doubt(self) -> None:
        with self._fencing:
            try:
                if self._doubtful == self._epoch:
                    self._raise_epoch()
            except OutcomeUnknown as error:
                raise StoreUnavailable(str(error)) from error  # of the write itself nothing was sent

    def _raise_epoch(self) -> None:
        # The store agrees to a fence that it has already made, if its reply was lost: only this refusal is final.
        try:
            self._epoch = self._store.fence(self._epoch)
        except StaleEpoch:
            if not self.is_lost:
                self.is_lost = True
                self._on_lost()
            raise
