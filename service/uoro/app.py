"""The composition root: settings become a store, an engine, metrics and a web server, wired once, here."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack
from importlib.metadata import version
from uuid import uuid4

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from uoro.api.app import create_app
from uoro.api.gathering import GatheringProtocol
from uoro.api.keyring import Keyring
from uoro.engine.engine import Engine
from uoro.engine.warmup import WarmUp
from uoro.errors import InvalidSettings
from uoro.learning.trial import try_out
from uoro.observability.logging import configure
from uoro.observability.metrics import PrometheusMeter
from uoro.settings import LOOPBACK, Settings
from uoro.store.embedded import EmbeddedServer
from uoro.store.redis import RedisStore

_log = logging.getLogger(__name__)

BACKEND = "numba"
PING_INTERVAL_S = 20.0
MAX_MESSAGE_BYTES = 2**20
GRACE_S = 10
EXIT_LOST = 3
SWITCH_INTERVAL_S = 0.0005
"""An answer passes through three threads. By default each waits up to 5 ms for an event loop that is busy."""


def serve(settings: Settings) -> int:
    """Serve until a signal asks to stop; returns the exit code.

    0 after an orderly stop, 3 if another server took the shard or a part of this one failed. Raises
    InvalidSettings, with one clear sentence, if the service cannot start.
    """
    configure(settings.log_level, settings.log_format)
    keyring = _keyring(settings)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with ExitStack() as stack:
        listening = stack.enter_context(_listen(settings))
        store, owner = _open_store(settings, stack)
        code = 0

        def stop_serving() -> None:
            nonlocal code
            code = EXIT_LOST
            _log.critical("this server stops: %s", engine.checks())
            server.should_exit = True

        meter = PrometheusMeter(version("uoro-service"), BACKEND, settings.stream_metrics_max)
        engine = Engine(
            store,
            owner,
            settings.limits(),
            meter,
            auto_create=settings.auto_create,
            on_lost=stop_serving,
            warm_up=WarmUp(try_out),
            num_runners=settings.runner_threads,
        )
        meter.watch(engine.status)
        app = create_app(
            engine,
            settings.limits(),
            meter,
            keyring=keyring,
            is_metrics_open=settings.metrics_without_key,
            cors_origins=settings.origins(),
        )
        server = uvicorn.Server(_config(_Lifespan(app, engine), settings))
        host, port = listening.getsockname()[:2]
        _log.info("serving on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        # uvicorn raises a signal that it has obeyed once more at the end: by then there is nothing left to do.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listening])
        return code


def _keyring(settings: Settings) -> Keyring | None:
    """The keys that callers need, if there are any to be. Raises InvalidKeyFile."""
    if settings.api_keys_file is None:
        return None
    keyring = Keyring(settings.api_keys_file)
    _log.info("callers need one of the %d keys in %s", len(keyring), settings.api_keys_file)
    if settings.host not in LOOPBACK:
        _log.warning("keys cross the network as they are; put a proxy with TLS in front")
    return keyring


def _open_store(settings: Settings, stack: ExitStack) -> tuple[RedisStore, str]:
    """The store, and this server's name at it."""
    if settings.redis_url is None:
        embedded = EmbeddedServer(settings.data_dir)
        embedded.start()
        stack.callback(embedded.stop)
        # The lock on the data directory shows that the server of this name before us is gone.
        url, owner = embedded.url, "embedded"
    else:
        url, owner = settings.redis_url, f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}"
    store = RedisStore(url, settings.shard, timeout_s=settings.store_timeout_s, lease_ttl_s=settings.lease_ttl_s)
    stack.callback(store.close)
    return store, owner


def _listen(settings: Settings) -> socket.socket:
    """A bound socket, before anything else is started. Raises InvalidSettings."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise InvalidSettings(
            f"UORO_HOST={settings.host} UORO_PORT={settings.port} cannot be listened on: {error.strerror}."
        ) from error
    return listening


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=GatheringProtocol,
        log_config=None,
        log_level=settings.log_level,
        access_log=False,
        lifespan="on",
        server_header=False,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_INTERVAL_S,
        ws_max_size=MAX_MESSAGE_BYTES,
        timeout_graceful_shutdown=GRACE_S,
    )


class _Lifespan:
    """Starts the engine with the web server and stops it after the last request."""

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        # What was imported stays: going through all of it stops every thread for a tenth of a second.
        gc.collect()
        gc.freeze()
        self._engine.hub.bind(asyncio.get_running_loop())
        self._engine.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self._engine.stop)
        await send({"type": "lifespan.shutdown.complete"})
