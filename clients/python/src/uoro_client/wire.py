"""Between calls and httpx: requests out, replies in, foreign errors mapped at this border."""

from __future__ import annotations

import os
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from uoro_client.calls import Call
from uoro_client.errors import ClientError, ConnectionFailed, ReplyLost, api_error
from uoro_client.replies import Readiness
from uoro_client.version import __version__

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
KEY_VARIABLE = "UORO_API_KEY"
DEFAULT_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0

_NOTHING_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.LocalProtocolError,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


def base_url(url: str) -> str:
    """The service's address. Raises ValueError if it is not one."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not the address of a service; it looks like {DEFAULT_URL}")
    return url.rstrip("/")


def socket_url(url: str) -> str:
    """The address of the websocket for many streams."""
    return "ws" + base_url(url).removeprefix("http") + "/v1/ws"


def key_of(api_key: str | None) -> str | None:
    """The key to call with: the one given, or that of the environment; "" stands for none."""
    return (os.environ.get(KEY_VARIABLE) if api_key is None else api_key) or None


def headers(api_key: str | None) -> dict[str, str]:
    """What every request carries."""
    named = {"User-Agent": f"uoro-client/{__version__}"}
    return named if api_key is None else {**named, "Authorization": f"Bearer {api_key}"}


def timeout(timeout_s: float) -> httpx.Timeout:
    """Connecting is given up sooner than waiting for a reply."""
    return httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))


def content_headers(call: Call[T]) -> dict[str, str]:
    """What a request says about its body."""
    return {} if call.content is None else {"Content-Type": call.content_type}


def value(call: Call[T], response: httpx.Response) -> T:
    """What a reply that was read to its end means. Raises ApiError, UnexpectedReply."""
    if response.is_success:
        return call.read(response.content)
    raise api_error(response.status_code, response.headers, response.content)


def mapped(error: httpx.TransportError, url: str) -> ClientError:
    """The client's own error for one of httpx."""
    said = str(error) or type(error).__name__
    if isinstance(error, _NOTHING_SENT):
        return ConnectionFailed(f"no service answers at {url}: {said}")
    return ReplyLost(f"{url} was asked and did not answer: {said}")


def readiness(response: httpx.Response) -> Readiness:
    """What `/readyz` says. Raises ApiError if that is neither yes nor no."""
    if response.is_success:
        return Readiness(is_ready=True)
    error = api_error(response.status_code, response.headers, response.content)
    if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
        raise error
    return Readiness(is_ready=False, reason=error.detail)
