"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

StreamId = Annotated[str, typer.Argument(metavar="STREAM", help="Id of the stream.")]
Url = Annotated[str, typer.Option("--url", envvar="UORO_URL", help="Address of the server.")]
ApiKey = Annotated[
    str | None, typer.Option("--api-key", envvar="UORO_API_KEY", help="Key to call with, if the server asks for one.")
]
