"""The keys in force.

Rules:
1. The file is the truth. It is looked at (by `stat`) once a second at most, when somebody asks; what `uoro keys`
   changes takes effect within that second.
2. A file that cannot be read any more changes nothing: the last good keys stay in force, no new one is known,
   and `state` says so. A key whose time is over is refused all the same. Nothing ever opens the door to everyone.
3. A token is judged with the same work whether its id exists or not, and compared in constant time.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from uoro.access.key import Key, hash_of, id_of, new_token
from uoro.access.keyfile import read_keys
from uoro.api.principal import Principal
from uoro.api.problems import Unauthorized
from uoro.api.quota import Quota
from uoro.errors import InvalidKeyFile

LOOK_INTERVAL_S = 1.0

_audit = logging.getLogger("uoro.audit")
_Look = tuple[int, int, int, int]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Keyring:
    """The keys of one file. Raises InvalidKeyFile if there are none to begin with.

    Args:
        now: the wall clock, for expiry. clock: monotonic seconds, for when to look. clock_ns: for limits.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime] = _utc_now,
        clock: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path = path
        self._now = now
        self._clock = clock
        self._clock_ns = clock_ns
        self._principals: dict[str, Principal] = {}
        self._no_hash = hash_of(new_token())
        self._trouble: str | None = None
        self._seen = self._look()
        self._looked_at = clock()
        self._put(read_keys(path))

    def __len__(self) -> int:
        return len(self._principals)

    def identify(self, token: str) -> Principal:
        """Whose token it is. Raises Unauthorized."""
        self._refresh()
        principal = self._principals.get(id_of(token))
        expected = self._no_hash if principal is None else principal.key.hash
        is_right = hmac.compare_digest(expected, hash_of(token))
        if principal is None or not is_right:
            raise Unauthorized("the key is not known")
        if principal.key.is_expired(self._now()):
            raise Unauthorized("the key has expired")
        return principal

    def why_not(self, principal: Principal) -> str | None:
        """Why a caller that was let in may not go on; None if it may."""
        self._refresh()
        if self._principals.get(principal.key.id) is not principal:
            return "the key was revoked or changed"
        return "the key has expired" if principal.key.is_expired(self._now()) else None

    def knows(self, key_id: str) -> bool:
        """Whether there is a key of this id."""
        return key_id in self._principals

    def state(self) -> str:
        """What is wrong with the file; "ok" if nothing is."""
        self._refresh()
        return self._trouble or "ok"

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._looked_at < LOOK_INTERVAL_S:
            return
        self._looked_at = now
        seen = self._look()
        if seen == self._seen and self._trouble is None:
            return
        self._seen = seen
        try:
            keys = read_keys(self._path)
        except InvalidKeyFile as error:
            trouble = f"{error} The last good keys stay in force."
            if trouble != self._trouble:
                _audit.error("%s", trouble, extra={"act": "reload_keys"})
            self._trouble = trouble
            return
        self._trouble = None
        before = set(self._principals)
        self._put(keys)
        after = set(self._principals)
        extra = {"act": "reload_keys", "num_keys": len(after)}
        came, went = sorted(after - before), sorted(before - after)
        _audit.info("the keys were read again", extra={**extra, "came": " ".join(came), "went": " ".join(went)})

    def _put(self, keys: tuple[Key, ...]) -> None:
        """Let keys be in force. One that has not changed keeps its principal, and with it what it has used."""
        principals: dict[str, Principal] = {}
        for key in keys:
            old = self._principals.get(key.id)
            is_same = old is not None and old.key == key
            principals[key.id] = old if old is not None and is_same else Principal(key, Quota(key, self._clock_ns))
        self._principals = principals

    def _look(self) -> _Look | None:
        try:
            seen = self._path.stat()
        except OSError:
            return None
        return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
