"""`uoro export` and `uoro import`: a stream's whole model as a file, and back."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from uoro.cli.fields import stream_of
from uoro.cli.options import ApiKey, StreamId, Url
from uoro.cli.terminal import client_of, fail, failures_in_a_sentence, out
from uoro_client import Conflict
from uoro_client.wire import DEFAULT_URL

SUFFIX = ".safetensors"

EXPORT_HELP = """Write a stream's whole model into one self-describing safetensors file.

Example: uoro export taxi -o taxi.safetensors
"""

IMPORT_HELP = """Make a stream of a file that `uoro export` wrote, on this server or another.

Example: uoro import taxi.safetensors --stream taxi-copy
"""


def export_model(
    stream: StreamId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; the stream's id with .safetensors if left out."),
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """See EXPORT_HELP."""
    path = output or Path(stream.replace("/", "-").replace(":", "-") + SUFFIX)
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        file = client.export(stream)
        _write_whole(path, file)
    out().print(f"{path}: {len(file):,} bytes", markup=False)


def import_model(
    file: Annotated[Path, typer.Argument(help="File to read.")],
    stream: Annotated[
        str | None, typer.Option("--stream", help="Id for the stream; the file's name if left out.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the stream if it exists.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """See IMPORT_HELP."""
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        content = file.read_bytes()
        try:
            imported = client.import_model(stream or stream_of(file), content, replace=replace)
        except Conflict as error:
            fail(f"{error.detail}. --replace puts the file in its place, --stream gives the new one another id.")
    out().print(f"{imported.id}: at seq {imported.last_seq:,}", markup=False)


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either there completely or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
