"""A key: who may call, for what, on which streams, until when, and how much.

Rules:
1. A token is `uoro_<id>_<secret>`. The id is public and finds the key; the secret is 192 random bits, shown once.
2. Only a SHA-256 of the whole token is kept. A slow hash protects what people choose, which can be guessed one
   by one; 2^192 secrets cannot, and a slow hash would only give callers a way to keep the service busy.
3. `admin` implies the other two; `read` and `write` imply nothing.
4. A prefix confines a key to the streams whose ids start with it; "" confines it to nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from uoro import limits
from uoro.domain import STREAM_ID

ID_BYTES = 6
SECRET_BYTES = 24
TOKEN = re.compile(r"uoro_([0-9a-f]{12})_[0-9a-f]{48}")


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_Moment = Annotated[datetime, Meta(tz=True)]
_PerSecond = Annotated[int, Meta(ge=1, le=limits.MAX_PER_SECOND)] | None


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One key as the file holds it.

    Attributes:
        name: for people; no two keys of a file share one.
        hash: of the token, "sha256:" and 64 hexadecimal digits.
        prefix: what the ids of its streams start with.
        expires: from when on it is refused; None: never.
        max_observations_per_s: posted with it, over all its callers.
        max_bytes_per_s: of request bodies and websocket messages.
        max_streams: that may exist under its prefix for it to make another.
    """

    id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{12}\Z")]
    name: Annotated[str, Meta(min_length=1, max_length=limits.MAX_KEY_NAME_CHARS)]
    hash: Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=len(Scope))]
    created: _Moment
    prefix: str = ""
    expires: _Moment | None = None
    max_observations_per_s: _PerSecond = None
    max_bytes_per_s: _PerSecond = None
    max_streams: Annotated[int, Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, which a decoder tells as its own."""
        if not self.name.isprintable():
            raise ValueError("a key's name is printable characters")
        if self.prefix and not STREAM_ID.fullmatch(self.prefix):
            raise ValueError(f"prefix {self.prefix!r} is not the beginning of any stream id")

    def grants(self, scope: Scope) -> bool:
        """Whether it may do what asks for a scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires


def hash_of(token: str) -> str:
    """What is kept of a token."""
    return "sha256:" + hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def id_of(token: str) -> str:
    """The id that a token names; "" for what is no token."""
    found = TOKEN.fullmatch(token)
    return found[1] if found else ""


def new_token() -> str:
    """A token that nobody has seen."""
    return f"uoro_{secrets.token_hex(ID_BYTES)}_{secrets.token_hex(SECRET_BYTES)}"
