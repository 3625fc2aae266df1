"""The audit log: one line for each administrative act and, within bounds, for each refusal at the door.

Lines go to the logger `uoro.audit` with who (`key`, by its public id), what (`act`, `stream`), how it ended
(`status`) and `request_id`. Neither keys nor tickets nor what callers sent as such are ever written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from urllib.parse import unquote

from starlette.types import Scope

from uoro.access.bucket import Bucket
from uoro.api.rights import RIGHTS
from uoro.api.scope import CLONE_TO_KEY, PRINCIPAL_KEY, REQUEST_ID_KEY

ACTS = {call: right.act for call, right in RIGHTS.items() if right.act}
"""What is written down, by method and template."""

MAX_REFUSALS_PER_S = 10
NOBODY = "none"

_log = logging.getLogger("uoro.audit")


def write_act(act: str, scope: Scope, status: int) -> None:
    """Write down that a caller did, or tried to do, something administrative."""
    principal = scope.get(PRINCIPAL_KEY)
    extra: dict[str, object] = {
        "act": act,
        "key": NOBODY if principal is None else principal.key.id,
        "status": status,
        "request_id": scope[REQUEST_ID_KEY],
        "client": client_of(scope),
    }
    for name, value in (*scope.get("path_params", {}).items(), ("to", scope.get(CLONE_TO_KEY))):
        if value is not None:
            extra["snapshot" if name == "name" else name] = unquote(value)
    _log.info("%s", act, extra=extra)


class Refusals:
    """Refusals at the door, so many lines a second; the next line says how many had none."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._bucket = Bucket(MAX_REFUSALS_PER_S, clock_ns())
        self._num_untold = 0

    def write(self, code: str, reason: str, scope: Scope, claimed_key: str | None) -> None:
        """Write down a refusal.

        `claimed_key` is the id of a key that exists, and that a wrong or expired token named; what a caller made
        up is never written.
        """
        if self._bucket.take(1, self._clock_ns()):
            self._num_untold += 1
            return
        principal = scope.get(PRINCIPAL_KEY)
        extra = {
            "act": "refuse",
            "code": code,
            "key": NOBODY if principal is None else principal.key.id,
            "request_id": scope[REQUEST_ID_KEY],
            "client": client_of(scope),
            "num_untold": self._num_untold,
        }
        if claimed_key is not None:
            extra["claimed_key"] = claimed_key
        self._num_untold = 0
        _log.warning("refused: %s", reason, extra=extra)


def client_of(scope: Scope) -> str:
    """The address at the other end, which may be a proxy's."""
    client = scope.get("client")
    return NOBODY if client is None else str(client[0])
