"""The page `/docs`, with the one policy under which it works: its script by hash, its parts from this service."""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from uoro.api.assets import PATH, SWAGGER_SCRIPT, SWAGGER_STYLE

ICON = "data:,"
"""None: the page asks for no file."""


class Docs:
    """Endpoint `/docs`."""

    def __init__(self, title: str, openapi_url: str) -> None:
        page = get_swagger_ui_html(
            openapi_url=openapi_url,
            title=title,
            swagger_js_url=f"{PATH}/{SWAGGER_SCRIPT}",
            swagger_css_url=f"{PATH}/{SWAGGER_STYLE}",
            swagger_favicon_url=ICON,
        )
        self._page = bytes(page.body)
        self._headers = {"content-security-policy": policy_of(self._page.decode())}

    async def show(self, _: Request) -> Response:
        """All calls, to read and to try."""
        return HTMLResponse(self._page, headers=self._headers)

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoint."""
        app.add_route("/docs", self.show, include_in_schema=False)


def policy_of(page: str) -> str:
    """The Content-Security-Policy under which a page's own scripts run and no others."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    ]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
