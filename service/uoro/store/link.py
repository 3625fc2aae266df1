"""The line to one Redis server, and what a failed command proves.

A command ends in one of four ways:

1. It was answered: the reply is returned.
2. No connection could be opened: nothing was sent. `StoreUnavailable`.
3. The server refused it before anything ran: its first word is one of `_REFUSALS`, and the text does not
   name a script. (An error that arises *inside* a function names it, and then writes may precede it.)
   `StoreUnavailable`.
4. Anything else, with a connection open: a lost reply, a timeout, an error amid a function.
   `OutcomeUnknown` for a write, `StoreUnavailable` for a read, which changes nothing.

Commands go to redis-py's connections directly instead of through its client: the client retries by itself,
which would write twice, and does not tell the second case from the fourth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import Any, TypeVar

from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, SSLConnection, parse_url
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

from uoro.errors import InvalidSettings, OutcomeUnknown, StoreUnavailable

_REFUSALS = (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
_REFUSAL_WORDS = ("BUSY ", "MISCONF ", "NOREPLICAS ")  # redis-py has no class for these
_UNKNOWN_COMMAND = "unknown command"
_INSIDE_A_FUNCTION = "script: "
_MISSING_FUNCTION = "Function not found"
_PREFIX = "uoro_2_"


T = TypeVar("T")


class Forbidden(StoreUnavailable):
    """The server does not let us use a command, or does not have it."""


class Link:
    """Connections to one server, opened as needed; any thread may use it.

    Args:
        url: `redis://`, `rediss://` or `unix://` address.
        timeout_s: for connecting, and for each command.

    Raises:
        InvalidSettings: the address cannot be understood.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        try:
            told: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        except (ValueError, RedisError) as error:
            raise InvalidSettings(f"the Redis address is not usable: {error}.") from error
        # These win over options in the address, and are there when the pool is made: a pool that believes in another
        # protocol asks connections over TCP for notices that this one does not have.
        told |= {
            "decode_responses": False,
            "health_check_interval": 0,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
            "retry_on_timeout": False,
            "socket_connect_timeout": timeout_s,
            "socket_timeout": timeout_s,
        }
        if told.get("connection_class") is SSLConnection and "ssl_cert_reqs" not in told:
            told.setdefault("ssl_check_hostname", True)  # redis-py 5 does not by itself
        self._pool = ConnectionPool(**told)
        self._is_closed = False

    def read(self, *command: str | bytes | int) -> Any:
        """The reply to a command that changes nothing. Raises StoreUnavailable."""
        return self._call(command, StoreUnavailable)

    def read_all(self, commands: Iterable[Sequence[str | bytes | int]]) -> list[Any]:
        """The replies to commands that change nothing, sent together. Raises StoreUnavailable."""
        several = list(commands)
        if not several:
            return []

        def exchange(connection: Any) -> list[Any]:
            connection.send_packed_command(connection.pack_commands(several))
            return [connection.read_response() for _ in several]

        return self._exchange(exchange, StoreUnavailable)

    def run(self, function: str, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> list[bytes]:
        """The reply of a function of the library. Raises StoreUnavailable, OutcomeUnknown.

        A server that lacks the library (new, or emptied) gets it, and only then is the call made again:
        nothing had run.
        """
        command = _call_of(function, keys, arguments)
        try:
            reply = self._call(command, OutcomeUnknown)
        except MissingFunction:
            self.load()
            reply = self._call(command, OutcomeUnknown)
        return list(reply)

    def look(self, function: str, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> list[bytes]:
        """The reply of a function that changes nothing. Raises StoreUnavailable, MissingFunction, Forbidden."""
        return list(self._call(_call_of(function, keys, arguments), StoreUnavailable))

    def load(self) -> None:
        """Load the function library, replacing what has its name. Raises StoreUnavailable, Forbidden."""
        self._call(("FUNCTION", "LOAD", "REPLACE", library()), StoreUnavailable)

    def may_load(self) -> bool:
        """Whether the library may be loaded: a source that is none is refused for that, or for want of the right."""
        try:
            self.read("FUNCTION", "LOAD", "REPLACE", "none")
        except Forbidden:
            return False
        except StoreUnavailable:
            self.read("PING")
        return True

    @property
    def credentials(self) -> tuple[str | None, str | None, int]:
        """User, password and database of the address."""
        told = self._pool.connection_kwargs
        return told.get("username"), told.get("password"), int(told.get("db") or 0)

    def close(self) -> None:
        """Close all connections; later calls raise StoreUnavailable."""
        self._is_closed = True
        self._pool.disconnect()

    def _call(self, command: Sequence[str | bytes | int], lost: type[StoreUnavailable]) -> Any:
        def exchange(connection: Any) -> Any:
            connection.send_command(*command)
            return connection.read_response()

        return self._exchange(exchange, lost, is_one=True)

    def _exchange(self, exchange: Callable[[Any], T], lost: type[StoreUnavailable], *, is_one: bool = False) -> T:
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        try:
            connection: Any = self._pool.get_connection()  # its methods have no types
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"no connection to Redis: {error}") from error
        try:
            return exchange(connection)
        except (RedisError, OSError) as error:
            if not (is_one and isinstance(error, ResponseError)):
                connection.disconnect()
            raise _verdict(error, lost) from error
        except BaseException:
            connection.disconnect()  # a reply that nobody waits for must not meet the next command
            raise
        finally:
            self._pool.release(connection)


class MissingFunction(StoreUnavailable):
    """The server does not have the function library."""


def library() -> bytes:
    """The source of the function library."""
    return files("uoro.store").joinpath("functions.lua").read_bytes()


def _call_of(function: str, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> list[str | bytes | int]:
    return ["FCALL", _PREFIX + function, len(keys), *keys, *arguments]


def _verdict(error: Exception, lost: type[StoreUnavailable]) -> StoreUnavailable:
    text = str(error) or type(error).__name__
    if _INSIDE_A_FUNCTION in text:
        return lost(f"Redis failed amid a function: {text}")
    if isinstance(error, NoPermissionError) or (isinstance(error, ResponseError) and text.startswith(_UNKNOWN_COMMAND)):
        return Forbidden(f"Redis forbids it: {text}")
    if isinstance(error, ResponseError) and text == _MISSING_FUNCTION:
        return MissingFunction("Redis lacks the function library and does not keep it")
    if isinstance(error, _REFUSALS) or (isinstance(error, ResponseError) and text.startswith(_REFUSAL_WORDS)):
        return StoreUnavailable(f"Redis refused: {text}")
    return lost(f"Redis did not answer as it should: {text}")
