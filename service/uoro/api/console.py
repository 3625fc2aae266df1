"""The console, `/`: one page of plain HTML, CSS and ES modules that calls the API as any other client does.

Nothing that users made is ever markup: the page's own policy forbids scripts that are not files of this service,
inline styles, and (Trusted Types) every way of turning a string into elements.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from uoro.api.assets import Assets

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


class Console:
    """Endpoint `/`."""

    def __init__(self, assets: Assets) -> None:
        self._page = assets.page

    async def show(self, request: Request) -> Response:
        """The page."""
        return self._page.response(request, {"content-security-policy": POLICY})

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoint."""
        app.add_route("/", self.show, include_in_schema=False)
