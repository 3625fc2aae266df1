"""The story of one call over its attempts: decides, and leaves sending and sleeping to the clients."""

from __future__ import annotations

import random
import time
from typing import Generic, TypeVar

from uoro_client.calls import Call, Delivered
from uoro_client.errors import ApiError, ClientError
from uoro_client.retry import Patience, leaves_doubt, pause_before_retry

T = TypeVar("T")


class Attempts(Generic[T]):
    """One call's attempts so far."""

    def __init__(self, call: Call[T], patience: Patience) -> None:
        self._call = call
        self._patience = patience
        self._started_s = time.monotonic()
        self._num_made = 0
        self._is_in_doubt = False

    def delivered(self, value: T) -> Delivered[T]:
        """The end: a reply came."""
        return Delivered(value, self._is_in_doubt)

    def failed(self, error: ClientError) -> float | Delivered[T]:
        """Seconds until the next attempt, or the success of an earlier one. Raises the error if it stands."""
        self._num_made += 1
        if self._is_in_doubt and isinstance(error, ApiError) and error.code == self._call.done_code:
            return Delivered(self._call.read(b""), was_in_doubt=True)
        self._is_in_doubt = self._is_in_doubt or leaves_doubt(error)
        pause_s = pause_before_retry(
            self._patience,
            error,
            is_repeatable=self._call.is_repeatable,
            num_attempts=self._num_made,
            elapsed_s=time.monotonic() - self._started_s,
            chance=random.random(),
        )
        if pause_s is None:
            error.is_in_doubt = self._is_in_doubt
            raise error
        return pause_s
