"""Tickets: what a browser, which cannot send a header with a websocket, shows in its place.

Rules:
1. A ticket opens one websocket, within its short life, with the rights of the key that asked for it.
2. It is worth nothing once that key is revoked or changed.
3. So many may be outstanding, of each key and in all.
4. Only their digests are kept, so that finding one takes no time that tells of the others.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from uoro import limits
from uoro.api import schemas
from uoro.api.keyring import Keyring
from uoro.api.openapi import Answer, operation
from uoro.api.principal import Principal, principal_of
from uoro.api.problems import Unauthorized
from uoro.api.replies import json_response
from uoro.errors import Overloaded

TICKET_BYTES = 24


def new_ticket() -> str:
    """A ticket that nobody has seen."""
    return secrets.token_hex(TICKET_BYTES)


class Tickets:
    """The tickets that are outstanding, oldest first."""

    def __init__(self, keyring: Keyring, clock: Callable[[], float] = time.monotonic) -> None:
        self._keyring = keyring
        self._clock = clock
        self._outstanding: dict[bytes, tuple[float, Principal]] = {}
        self._num_of: Counter[str] = Counter()

    def issue(self, principal: Principal) -> str:
        """A ticket for a caller. Raises Overloaded."""
        self._forget_old()
        mine = self._num_of[principal.key.id]
        if mine >= limits.MAX_TICKETS_PER_KEY or len(self._outstanding) >= limits.MAX_TICKETS:
            raise Overloaded("too many tickets are outstanding", limits.TICKET_LIFE_S)
        ticket = new_ticket()
        self._outstanding[_digest(ticket)] = (self._clock() + limits.TICKET_LIFE_S, principal)
        self._num_of[principal.key.id] += 1
        return ticket

    def redeem(self, ticket: str) -> Principal:
        """Whose ticket it is; it is used up. Raises Unauthorized."""
        self._forget_old()
        found = self._take(_digest(ticket))
        if found is None:
            raise Unauthorized("the ticket is not known, used up, or older than its life")
        if reason := self._keyring.why_not(found):
            raise Unauthorized(reason)
        return found

    def _forget_old(self) -> None:
        now = self._clock()
        while self._outstanding:
            oldest, (until, _) = next(iter(self._outstanding.items()))
            if until > now:
                return
            self._take(oldest)

    def _take(self, digest: bytes) -> Principal | None:
        found = self._outstanding.pop(digest, None)
        if found is None:
            return None
        principal = found[1]
        self._num_of[principal.key.id] -= 1
        if not self._num_of[principal.key.id]:
            del self._num_of[principal.key.id]
        return principal


class Ticketing:
    """Endpoint `/v1/tickets`. `tickets` is None where no keys are configured: websockets ask for none then."""

    def __init__(self, tickets: Tickets | None) -> None:
        self._tickets = tickets

    async def issue(self, request: Request) -> Response:
        """A ticket with the rights of the key that asks."""
        principal = principal_of(request)
        issue = new_ticket if self._tickets is None or principal is None else partial(self._tickets.issue, principal)
        return json_response({"ticket": issue(), "expires_in_s": limits.TICKET_LIFE_S}, 201)

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoint."""
        app.add_api_route(
            "/v1/tickets",
            self.issue,
            methods=["POST"],
            **operation(
                "issueTicket",
                "A ticket that opens one websocket as `?ticket=`, for browsers, which cannot send a key with it",
                Answer(201, "the ticket", schemas.Ticket),
                problems=(429,),
                tag="operations",
            ),
        )


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogateescape")).digest()
