"""The audit log: every administrative act, refusals within bounds, reloads, and never a secret."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from api_ground import SMALL, serving
from key_ground import Clock, GuardedServer, KeyFile, made, ring

from uoro.access.key import id_of
from uoro.api import audit


def acts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What was written to the audit log."""
    return [vars(record) for record in caplog.records if record.name == "uoro.audit"]


def test_administrative_acts_are_written_down(ground: GuardedServer, caplog: pytest.LogCaptureFixture) -> None:
    """Each with who, what, of which stream, how it ended, and the request's id; reads and observations are not."""
    caplog.set_level(logging.INFO, "uoro.audit")
    token = made(ground, "admin", prefix="audit/")
    caplog.clear()
    path = "/v1/streams/audit%2F1"

    def call(method: str, path: str, **options: Any) -> Any:
        return ground.call(token, method, path, headers={"x-request-id": "r1"}, **options)

    call("PUT", path, json={"spec": SMALL})
    call("POST", f"{path}/observations", json={"x": {"v": 1}})
    call("GET", path)
    call("POST", f"{path}/freeze")
    call("POST", f"{path}/unfreeze")
    call("POST", f"{path}/snapshots", json={"name": "n"})
    call("POST", f"{path}/snapshots/n/restore")
    call("POST", f"{path}/clone", json={"to": "audit/2"})
    model = call("GET", f"{path}/export").content
    call("PUT", f"{path}/import", content=model)
    call("DELETE", path)
    call("DELETE", path)
    written = [(line["act"], line["stream"], line["status"]) for line in acts(caplog)]
    assert written == [
        ("create_stream", "audit/1", 201), ("freeze_stream", "audit/1", 200), ("unfreeze_stream", "audit/1", 200),
        ("save_snapshot", "audit/1", 201), ("restore_snapshot", "audit/1", 200), ("clone_stream", "audit/1", 201),
        ("import_model", "audit/1", 409), ("delete_stream", "audit/1", 204), ("delete_stream", "audit/1", 404),
    ]  # fmt: skip
    assert {line["key"] for line in acts(caplog)} == {id_of(token)}
    assert {line["request_id"] for line in acts(caplog)} == {"r1"}
    assert acts(caplog)[4]["snapshot"] == "n"
    assert acts(caplog)[5]["to"] == "audit/2"


def test_without_keys_acts_are_written_down_too(caplog: pytest.LogCaptureFixture) -> None:
    """By nobody in particular."""
    caplog.set_level(logging.INFO, "uoro.audit")
    with serving() as server:
        server.create()
    assert [(line["act"], line["key"]) for line in acts(caplog)] == [("create_stream", "none")]


def test_refusals_are_written_down_within_bounds(
    ground: GuardedServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many a second and not one more; the next line says how many had none. A known id is named, a made-up not."""
    caplog.set_level(logging.INFO, "uoro.audit")
    clock = Clock()
    refusals = audit.Refusals(clock.ns)
    scope = {"uoro.request_id": "r", "client": ("192.0.2.1", 1)}
    for _ in range(audit.MAX_REFUSALS_PER_S + 5):
        refusals.write("unauthorized", "why", scope, None)
    assert len(acts(caplog)) == audit.MAX_REFUSALS_PER_S
    clock.s = 1.0
    refusals.write("unauthorized", "why", scope, "abc")
    last = acts(caplog)[-1]
    assert (last["num_untold"], last["claimed_key"], last["client"]) == (5, "abc", "192.0.2.1")
    caplog.clear()
    time.sleep(0.2)
    reader = made(ground, "read")
    time.sleep(0.3)
    caplog.clear()
    ground.call(reader, "DELETE", "/v1/streams/a")
    ground.call("uoro_" + "0" * 12 + "_" + "0" * 48, "DELETE", "/v1/streams/a")
    ground.call(reader[:-1] + "x", "DELETE", "/v1/streams/a")
    ground.call(reader[:-1] + ("0" if reader[-1] != "0" else "1"), "DELETE", "/v1/streams/a")
    assert [(line["code"], line["key"], line.get("claimed_key")) for line in acts(caplog)] == [
        ("forbidden", id_of(reader), None),
        ("unauthorized", "none", None),
        ("unauthorized", "none", None),
        ("unauthorized", "none", id_of(reader)),
    ]


def test_a_reload_is_written_down(file: KeyFile, caplog: pytest.LogCaptureFixture) -> None:
    """Which keys came and went, by id."""
    caplog.set_level(logging.INFO, "uoro.audit")
    clock = Clock()
    old = file.make("read")
    keys = ring(file, clock)
    new = file.make("read")
    file.revoke(old)
    clock.s = 1.0
    assert keys.state() == "ok"
    (line,) = acts(caplog)
    assert (line["act"], line["came"], line["went"], line["num_keys"]) == ("reload_keys", id_of(new), id_of(old), 1)
