"""`uoro keys`: who may call. The commands change the key file; a running server notices within a second or two."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from uoro import limits
from uoro.access.key import Key, Scope, hash_of, id_of, new_token
from uoro.access.keyfile import add_key, read_keys, remove_keys
from uoro.cli.terminal import MISUSED, err, fail, failures_in_a_sentence, out
from uoro.settings import Settings

LIFE = re.compile(r"([1-9][0-9]{0,4})([hd])")

KEYS_HELP = """Make, list and revoke the keys that callers need.

They are kept, as hashes, in the file that UORO_API_KEYS_FILE or --file names. A running server notices a change
within a second or two.

Example: uoro keys create sensors --scope write --prefix plant/
"""

CREATE_HELP = """Make a key and show it, once. Only its hash is kept.

Scopes: read (predictions, metrics, results, lists, exports, /metrics), write (observations; create, freeze, clone
and snapshot streams), admin (both, and delete, import, restore).

A prefix confines a key to the streams whose ids start with it: end it with a separator, since plant also begins
plant2/load.

Example: uoro keys create sensors --scope write --prefix plant/ --expires 90d

Example: uoro keys create grafana --scope read --file keys.json
"""

LIST_HELP = """List the keys: who, for what, until when. Their secrets are nowhere.

Example: uoro keys list
"""

REVOKE_HELP = """Revoke a key by its id or name; its open websockets are closed too.

Example: uoro keys revoke sensors
"""

File = Annotated[Path | None, typer.Option("--file", help="The key file; UORO_API_KEYS_FILE if left out.")]

keys = typer.Typer(name="keys", help=KEYS_HELP, no_args_is_help=True, rich_markup_mode=None)


@keys.command("create", help=CREATE_HELP)
def create(
    name: Annotated[str, typer.Argument(help="For people: who or what will use it.")],
    scope: Annotated[list[Scope], typer.Option("--scope", help="What it may do; may be repeated.")],
    prefix: Annotated[str, typer.Option("--prefix", help="What the ids of its streams start with.")] = "",
    expires: Annotated[
        str | None, typer.Option("--expires", help="Its life, such as 90d or 12h, or a date; forever if left out.")
    ] = None,
    max_observations_per_s: Annotated[
        int | None, typer.Option("--max-observations-per-s", min=1, max=limits.MAX_PER_SECOND, help="That it may post.")
    ] = None,
    max_bytes_per_s: Annotated[
        int | None, typer.Option("--max-bytes-per-s", min=1, max=limits.MAX_PER_SECOND, help="That it may send.")
    ] = None,
    max_streams: Annotated[
        int | None, typer.Option("--max-streams", min=1, help="That may exist under its prefix for it to make more.")
    ] = None,
    file: File = None,
) -> None:
    """See CREATE_HELP."""
    with failures_in_a_sentence():
        path, now, token = _path(file), datetime.now(UTC), new_token()
        try:
            key = Key(
                id=id_of(token),
                name=name,
                hash=hash_of(token),
                scopes=tuple(dict.fromkeys(scope)),
                prefix=prefix,
                created=now.replace(microsecond=0),
                expires=None if expires is None else expiry_of(expires, now),
                max_observations_per_s=max_observations_per_s,
                max_bytes_per_s=max_bytes_per_s,
                max_streams=max_streams,
            )
            add_key(path, msgspec.convert(msgspec.to_builtins(key), Key))
        except (ValueError, msgspec.ValidationError) as error:
            fail(f"{error}.", MISUSED)
    out().print(token, markup=False, soft_wrap=True)
    err().print(f"key {key.id} ({key.name}) is in {path}; it is not shown again", markup=False, soft_wrap=True)


@keys.command("list", help=LIST_HELP)
def list_keys(file: File = None) -> None:
    """See LIST_HELP."""
    with failures_in_a_sentence():
        found = read_keys(_path(file))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("id", "name", "scopes", "prefix", "created", "expires", "limits"):
        table.add_column(heading, overflow="fold")
    for key in found:
        table.add_row(key.id, key.name, " ".join(key.scopes), key.prefix, *_times(key), _limits(key))
    out().print(table)


@keys.command("revoke", help=REVOKE_HELP)
def revoke(key: Annotated[str, typer.Argument(help="Its id or its name.")], file: File = None) -> None:
    """See REVOKE_HELP."""
    with failures_in_a_sentence():
        path = _path(file)
        removed = remove_keys(path, lambda known: known.id == key) or remove_keys(path, lambda known: known.name == key)
    if not removed:
        fail(f"No key in {path} has the id or name {key!r}.")
    for gone in removed:
        out().print(f"key {gone.id} ({gone.name}) is revoked", markup=False, soft_wrap=True)


def expiry_of(text: str, now: datetime) -> datetime:
    """The end of a life such as 90d, or a date. Raises ValueError if that is over already or no time at all."""
    life = LIFE.fullmatch(text)
    if life is not None:
        hours = int(life[1]) * (24 if life[2] == "d" else 1)
        return now.replace(microsecond=0) + timedelta(hours=hours)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a life such as 90d or 12h nor a date such as 2027-01-31") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if moment <= now:
        raise ValueError(f"{text} is over already")
    return moment


def _path(file: Path | None) -> Path:
    """The key file: the option's, or the setting's."""
    path = file or Settings.load().api_keys_file
    if path is None:
        fail("No key file is named: give --file, or set UORO_API_KEYS_FILE.", MISUSED)
    return path


def _times(key: Key) -> tuple[str, str]:
    expires = "never" if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M}"
    return f"{key.created:%Y-%m-%d}", f"{expires} (over)" if key.is_expired(datetime.now(UTC)) else expires


def _limits(key: Key) -> str:
    bounds = (
        (key.max_observations_per_s, "observations/s"),
        (key.max_bytes_per_s, "bytes/s"),
        (key.max_streams, "streams"),
    )
    return ", ".join(f"{bound:,} {unit}" for bound, unit in bounds if bound is not None)
