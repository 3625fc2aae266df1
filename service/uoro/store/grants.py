"""What the store needs of Redis, and the user that may do that and nothing else.

Commands inside a function of the library are checked like those of a connection, so the user needs them too; a
leaked connection can therefore spoil this shard's keys, and nothing else: no other key can be read or written, and
nothing of the server seen, changed or ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

CALLING = "fcall"
LOADING = "function|load"
"""Not needed by a user for whom an administrator loads the library, after each upgrade."""
NEEDED = {
    "ping": "ping",
    "hget": "hget KEY f",
    "hkeys": "hkeys KEY",
    "hmget": "hmget KEY f",
    "sscan": "sscan KEY 0",
    "xrange": "xrange KEY - +",
    "del": "del KEY",
    "get": "get KEY",
    "hdel": "hdel KEY f",
    "hset": "hset KEY f v",
    "pexpire": "pexpire KEY 1",
    "pttl": "pttl KEY",
    "sadd": "sadd KEY m",
    "set": "set KEY v",
    "srem": "srem KEY m",
    "unlink": "unlink KEY",
    "xadd": "xadd KEY * f v",
    "xtrim": "xtrim KEY MAXLEN 1",
    LOADING: "function load code",
}
"""By command, how its right is asked for: the reading ones, those inside the functions, and the loading of these."""
HARMFUL = {
    "acl|setuser": "acl setuser name",
    "config|get": "config get name",
    "config|set": "config set name value",
    "flushall": "flushall",
    "flushdb": "flushdb",
    "keys": "keys pattern",
    "replicaof": "replicaof no one",
    "shutdown": "shutdown",
}
"""What nobody wants in the hands of whoever finds the address; what the doctor asks for, not all there is."""
GRANTED = (CALLING, *NEEDED)

DEFAULT_USER = "uoro"
PLACEHOLDER = "PASSWORD"


@dataclass(frozen=True, slots=True)
class Rights:
    """What the user of a connection may do, of what was asked.

    Attributes:
        missing: of `NEEDED`; `LOADING` among them is no fault while the library is there.
        harmful: of `HARMFUL`, what it may use.
        has_library: the function library is there, in this program's version. Without it only `LOADING` is known.
    """

    missing: tuple[str, ...]
    harmful: tuple[str, ...]
    has_library: bool = True


def acl_line(keys: str, user: str | None, password: str | None, *, has_database: bool) -> str:
    """The command that makes the user.

    Args:
        keys: pattern of the shard's keys.
        user: its name; None for the usual one.
        password: shown as its hash, which Redis takes as well; None for a placeholder.
        has_database: whether another database than the first is used.
    """
    secret = f">{PLACEHOLDER}" if password is None else f"#{sha256(password.encode()).hexdigest()}"
    granted = (*GRANTED, "select") if has_database else GRANTED
    allowed = " ".join(f"+{command}" for command in granted)
    return f"ACL SETUSER {user or DEFAULT_USER} reset on {secret} ~{keys} {allowed}"
