"""The future of an operation: one that nobody can cancel, and that is made for every single request.

The standard one brings a condition with two locks of its own and costs several times what the rest of an operation
does. Here one lock, held for a few instructions, serves all, and what a waiting thread needs is made when one waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from threading import Event, Lock
from typing import Any, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)
_lock = Lock()


class Promise(Future[T]):
    """A future that runs from the beginning. Any thread may complete it, wait for it, or ask to be called."""

    def __init__(self) -> None:  # the base's own parts are not made: every method that uses them is written out here
        self._is_done = False
        self._outcome: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], object]] = []
        self._done: Event | None = None

    def __repr__(self) -> str:
        return f"<Promise {'of ' + repr(self._error or self._outcome) if self._is_done else 'open'}>"

    def set_running_or_notify_cancel(self) -> bool:
        """It runs."""
        return True

    def cancel(self) -> bool:
        """It cannot be cancelled."""
        return False

    def cancelled(self) -> bool:
        """It was not."""
        return False

    def running(self) -> bool:
        """Whether it is open."""
        return not self._is_done

    def done(self) -> bool:
        """Whether it is complete."""
        return self._is_done

    def result(self, timeout: float | None = None) -> T:
        """Wait for the outcome, so many seconds at most. Raises what it failed with, TimeoutError."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._outcome  # type: ignore[return-value]  # complete and without an error, it has one

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait until it is complete; what it failed with, or None. Raises TimeoutError."""
        if not self._is_done:
            with _lock:
                done = self._done = self._done or Event()
            if self.done():  # it may have come to be before the event was there
                done.set()
            if not done.wait(timeout):
                raise TimeoutError
        return self._error

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call a function once it is complete, in the thread that completes it; at once if it is."""
        with _lock:
            if not self._is_done:
                self._callbacks.append(fn)
                return
        self._call(fn)

    def set_result(self, result: T) -> None:
        """Complete it. Raises InvalidStateError if it is."""
        self._complete(result, None)

    def set_exception(self, exception: BaseException | None) -> None:
        """Fail it. Raises InvalidStateError if it is complete."""
        self._complete(None, exception)

    def _complete(self, outcome: T | None, error: BaseException | None) -> None:
        with _lock:
            if self._is_done:
                raise InvalidStateError(f"{self!r}")
            self._outcome, self._error = outcome, error
            self._is_done = True
            callbacks, self._callbacks = self._callbacks, []
            done = self._done
        if done is not None:
            done.set()
        for call in callbacks:
            self._call(call)

    def _call(self, call: Callable[[Future[T]], Any]) -> None:
        try:
            call(self)
        except Exception:  # noqa: BLE001 - as the standard one: logged, nobody else notices
            _log.exception("a function that was to be called failed")
