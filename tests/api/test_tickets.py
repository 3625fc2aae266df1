"""Tickets: good once, for a short while, as long as their key, and not too many."""

from __future__ import annotations

import pytest
from api_ground import serving
from key_ground import Clock, GuardedServer, KeyFile, anonymous, made, ring
from starlette.websockets import WebSocketDisconnect

from uoro import limits
from uoro.api.keyring import Keyring
from uoro.api.principal import Principal
from uoro.api.problems import Unauthorized
from uoro.api.tickets import Tickets
from uoro.errors import Overloaded


def ticketed(file: KeyFile, clock: Clock) -> tuple[Tickets, Keyring, Principal]:
    token = file.make("read")
    keys = ring(file, clock)
    return Tickets(keys, clock), keys, keys.identify(token)


def test_a_ticket_is_good_once(file: KeyFile) -> None:
    """It brings its key's principal, and then nothing any more; another text never does."""
    tickets, _, principal = ticketed(file, Clock())
    ticket = tickets.issue(principal)
    for bad in ("", ticket[:-1], ticket + "0", ticket.upper()):
        with pytest.raises(Unauthorized):
            tickets.redeem(bad)
    assert tickets.redeem(ticket) is principal
    with pytest.raises(Unauthorized):
        tickets.redeem(ticket)


@pytest.mark.parametrize(("age_s", "is_good"), [(limits.TICKET_LIFE_S - 0.001, True), (limits.TICKET_LIFE_S, False)])
def test_a_ticket_s_life(file: KeyFile, age_s: float, is_good: object) -> None:
    """Just before its end it is good, at its end not."""
    clock = Clock()
    tickets, _, principal = ticketed(file, clock)
    ticket = tickets.issue(principal)
    clock.s = age_s
    try:
        tickets.redeem(ticket)
    except Unauthorized:
        assert not is_good
    else:
        assert is_good


def test_a_ticket_ends_with_its_key(file: KeyFile) -> None:
    """Revoked in between, it opens nothing."""
    clock = Clock()
    token = file.make("read")
    keys = ring(file, clock)
    tickets = Tickets(keys, clock)
    ticket = tickets.issue(keys.identify(token))
    file.revoke(token)
    clock.s = 1.0
    with pytest.raises(Unauthorized, match="revoked"):
        tickets.redeem(ticket)


def test_tickets_are_bounded(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each key and in all: at the bound one is given, one past it is not; old and used ones make room."""
    clock = Clock()
    tickets, keys, principal = ticketed(file, clock)
    mine = [tickets.issue(principal) for _ in range(limits.MAX_TICKETS_PER_KEY)]
    with pytest.raises(Overloaded):
        tickets.issue(principal)
    tickets.redeem(mine[0])
    tickets.issue(principal)
    monkeypatch.setattr(limits, "MAX_TICKETS", limits.MAX_TICKETS_PER_KEY + 1)
    other = file.make("read")
    clock.s = 1.0
    tickets.issue(keys.identify(other))
    with pytest.raises(Overloaded):
        tickets.issue(keys.identify(other))
    clock.s = limits.TICKET_LIFE_S + 1.0
    tickets.issue(principal)
    assert len(tickets._outstanding) == 1
    assert dict(tickets._num_of) == {principal.key.id: 1}


def test_a_ticket_opens_a_websocket_once(ground: GuardedServer) -> None:
    """With the rights of its key; used up, forged, or two at once it opens none, and over HTTP it is nothing."""
    stream = ground.server.create()
    reader = made(ground, "read")
    reply = ground.call(reader, "POST", "/v1/tickets")
    assert (reply.status_code, reply.json()["expires_in_s"]) == (201, 30.0)
    ticket = reply.json()["ticket"]
    with anonymous(ground):
        assert ground.client.get(f"/v1/streams?ticket={ticket}").status_code == 401
        with ground.client.websocket_connect(f"/v1/streams/{stream}/ws?ticket={ticket}") as socket:
            socket.send_json({"type": "predict"})
            assert socket.receive_json()["type"] == "prediction"
            socket.send_json({"type": "observe", "x": {"v": 1}})
            assert socket.receive_json()["code"] == "forbidden"
        fresh = ground.call(reader, "POST", "/v1/tickets").json()["ticket"]
        for query in (f"?ticket={ticket}", "?ticket=", "", "?ticket=forged", f"?ticket={fresh}&ticket={fresh}"):
            with pytest.raises(WebSocketDisconnect) as refused, ground.client.websocket_connect(f"/v1/ws{query}"):
                pass
            assert refused.value.status_code == 401  # type: ignore[attr-defined]
        assert ground.client.post("/v1/tickets").status_code == 401


def test_without_keys_a_ticket_is_given_and_not_asked_for() -> None:
    """A page that asks for one works with and without keys."""
    with serving() as server:
        assert len(server.client.post("/v1/tickets").json()["ticket"]) == 48
        with server.client.websocket_connect("/v1/ws?ticket=any") as socket:
            socket.send_json({"type": "predict", "stream": "s"})
            assert socket.receive_json()["code"] == "unknown_stream"
