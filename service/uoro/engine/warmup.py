"""Compiles the kernel before the first stream needs it, beside recovery; once per machine, then it is in the cache.

Rules:
1. The server is not ready while it compiles, but never waits for it longer than `MAX_WAIT_S`: a request that comes
   then waits itself.
2. Failing to compile is not hidden: it is logged, and the first stream meets the same error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Thread

_log = logging.getLogger(__name__)

MAX_WAIT_S = 60.0
WORTH_A_LINE_S = 3.0


class WarmUp:
    """One run of `prepare` on a thread of its own."""

    def __init__(self, prepare: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._prepare = prepare
        self._clock = clock
        self._began_s: float | None = None
        self._is_over = False

    def start(self) -> None:
        """Begin."""
        self._began_s = self._clock()
        Thread(target=self._run, name="uoro-warm-up", daemon=True).start()

    def state(self) -> str:
        """Either "ok", or why the server is not ready yet."""
        if self._is_over or self._began_s is None or self._clock() - self._began_s > MAX_WAIT_S:
            return "ok"
        return "compiling the kernel, which happens once on a machine"

    def _run(self) -> None:
        begin = self._clock()
        _log.info("preparing the kernel; the first start on a machine compiles it, which takes a minute or so")
        try:
            self._prepare()
        except Exception:  # noqa: BLE001 - rule 2
            _log.exception("the kernel could not be prepared")
        else:
            duration_s = self._clock() - begin
            origin = "compiled" if duration_s > WORTH_A_LINE_S else "from the cache"
            _log.info("the kernel is ready, %s, after %.1f s", origin, duration_s)
        self._is_over = True
