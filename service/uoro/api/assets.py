"""Files for browsers: the console's own, and those of libraries that the package registry brought.

A library's file is found by path; its package is never imported. Its name says its version, so browsers may keep it
for good; our own are asked for again, and answered with 304 where they have not changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PATH = "/assets"
OWN = Path(__file__).parent / "console"
PAGE = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}
FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"

SWAGGER_VERSION = version("fastapi-swagger")
SWAGGER_SCRIPT, SWAGGER_STYLE = f"swagger-ui-{SWAGGER_VERSION}.js", f"swagger-ui-{SWAGGER_VERSION}.css"

LIBRARIES = {
    "uplot-1.6.31.js": ("youplot", "vendor/uplot.iife.min.js"),
    "uplot-1.6.31.css": ("youplot", "vendor/uplot.min.css"),
    SWAGGER_SCRIPT: ("fastapi_swagger", "resources/swagger-ui-bundle.js"),
    SWAGGER_STYLE: ("fastapi_swagger", "resources/swagger-ui.css"),
}
"""By name: the package that carries the file, and where in it. The page pins uPlot's by their hashes besides."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file in memory. `etag` is of its content."""

    content: bytes
    media_type: str
    cache: str
    etag: str

    @classmethod
    def read(cls, path: Path, cache: str) -> Asset:
        """The file at a path."""
        content = path.read_bytes()
        return cls(content, TYPES[path.suffix], cache, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def response(self, request: Request, headers: dict[str, str] | None = None) -> Response:
        """The file, or 304 for who has it."""
        told = {"etag": self.etag, "cache-control": self.cache, **(headers or {})}
        if self.etag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
            return Response(status_code=304, headers=told)
        return Response(self.content, media_type=self.media_type, headers=told)


class Assets:
    """Endpoint `/assets/{file}`; holds every file that there is."""

    def __init__(self) -> None:
        own = {path.name: Asset.read(path, ASK_AGAIN) for path in OWN.iterdir() if path.suffix in TYPES}
        self.page = own.pop(PAGE)
        kept = {name: Asset.read(_place(*where), FOR_GOOD) for name, where in LIBRARIES.items()}
        self._files = own | kept

    async def show(self, request: Request) -> Response:
        """One file."""
        asset = self._files.get(request.path_params["file"])
        if asset is None:
            raise HTTPException(404)
        return asset.response(request)

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoint."""
        app.add_api_route(f"{PATH}/{{file}}", self.show, methods=["GET"], include_in_schema=False)


def _place(package: str, path: str) -> Path:
    """Where an installed package keeps a file."""
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations  # noqa: S101, PT018 - among the dependencies
    return Path(spec.submodule_search_locations[0]) / path
