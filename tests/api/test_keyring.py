"""The keys in force: compared in constant time, read anew, kept when the file is spoilt."""

from __future__ import annotations

import hmac
import logging
from datetime import timedelta

import pytest
from api_ground import serving
from key_ground import Clock, GuardedServer, KeyFile, ring

from uoro.access.key import new_token
from uoro.api import keyring
from uoro.api.keyring import Keyring
from uoro.api.problems import Unauthorized
from uoro.errors import InvalidKeyFile


def test_comparison_takes_constant_time_and_always_happens(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """`hmac.compare_digest` is asked once for each token, known id or not, with hashes of one length."""
    token = file.make("read")
    keys = ring(file, Clock())
    asked: list[tuple[str, str]] = []

    def compare(a: str, b: str) -> bool:
        asked.append((a, b))
        return hmac_compare(a, b)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(keyring.hmac, "compare_digest", compare)
    keys.identify(token)
    for bad in (token[:-1] + "x", new_token(), "", "nonsense"):
        with pytest.raises(Unauthorized):
            keys.identify(bad)
    assert len(asked) == 5
    assert {len(a) for pair in asked for a in pair} == {len("sha256:") + 64}


def test_changes_are_seen_within_a_second_and_not_looked_for_more_often(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just before the interval is over the file is not looked at; then what was made and revoked counts."""
    old = file.make("read")
    clock = Clock()
    keys = ring(file, clock)
    new = file.make("read")
    file.revoke(old)
    looks = []
    look = Keyring._look
    monkeypatch.setattr(Keyring, "_look", lambda self: looks.append(1) or look(self))
    clock.s = keyring.LOOK_INTERVAL_S - 0.001
    for _ in range(50):
        keys.identify(old)
        with pytest.raises(Unauthorized):
            keys.identify(new)
    assert looks == []
    clock.s = keyring.LOOK_INTERVAL_S
    keys.identify(new)
    with pytest.raises(Unauthorized):
        keys.identify(old)
    assert len(looks) == 1


def test_a_key_is_refused_from_its_moment_on(file: KeyFile) -> None:
    """Expired, it is told so, since only who has the secret hears it."""
    clock = Clock()
    token = file.make("read", expires=clock.now() + timedelta(seconds=10))
    keys = ring(file, clock)
    clock.s = 9.999
    principal = keys.identify(token)
    assert keys.why_not(principal) is None
    clock.s = 10.0
    with pytest.raises(Unauthorized, match="expired"):
        keys.identify(token)
    assert keys.why_not(principal) == "the key has expired"


@pytest.mark.parametrize("spoil", ["malformed", "empty", "half", "gone"])
def test_a_spoilt_file_opens_nothing_and_locks_nobody_out(
    file: KeyFile, caplog: pytest.LogCaptureFixture, spoil: str
) -> None:
    """The last good keys stay, no other gets in, expiry goes on; it is logged once and told until it is mended."""
    clock = Clock()
    token, mortal = file.make("read"), file.make("read", expires=clock.now() + timedelta(seconds=5))
    keys = ring(file, clock)
    good = file.path.read_bytes()
    later = file.make("read")
    content = {"malformed": b"{", "empty": b"", "half": good[: len(good) // 2]}
    file.path.unlink() if spoil == "gone" else file.path.write_bytes(content[spoil])
    for second in range(1, 5):
        clock.s = float(second)
        keys.identify(token)
        keys.identify(mortal)
        for bad in (later, new_token(), ""):
            with pytest.raises(Unauthorized):
                keys.identify(bad)
        assert "last good keys stay in force" in keys.state()
    clock.s = 6.0
    with pytest.raises(Unauthorized, match="expired"):
        keys.identify(mortal)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    file.path.write_bytes(good)
    file.revoke(token)
    clock.s = 7.0
    assert keys.state() == "ok"
    with pytest.raises(Unauthorized, match="not known"):
        keys.identify(token)


def test_a_spoilt_file_keeps_a_server_from_starting(file: KeyFile) -> None:
    """One sentence; there are no last good keys to go on with."""
    with pytest.raises(InvalidKeyFile, match=r"cannot be read"):
        Keyring(file.path)
    file.path.write_text("{")
    with pytest.raises(InvalidKeyFile, match=r"not usable"):
        Keyring(file.path)


def test_a_key_that_does_not_change_keeps_what_it_has_used(file: KeyFile) -> None:
    """Another key's coming does not fill its bucket; a change of its own makes it another."""
    clock = Clock()
    token = file.make("write", max_observations_per_s=10)
    keys = ring(file, clock)
    before = keys.identify(token)
    file.make("read")
    clock.s = 1.0
    assert keys.identify(token) is before
    file.path.write_text(file.path.read_text().replace('"max_observations_per_s": 10', '"max_observations_per_s": 9'))
    clock.s = 2.0
    assert keys.identify(token) is not before
    assert keys.why_not(before) == "the key was revoked or changed"


def test_readiness_tells_of_the_keys(ground: GuardedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in disorder is shown, and the server is ready all the same: whoever has a key is served."""
    assert ground.client.get("/readyz?verbose").json()["checks"]["keys"] == "ok"
    monkeypatch.setattr(Keyring, "state", lambda _: "spoilt")
    reply = ground.client.get("/readyz?verbose")
    assert (reply.status_code, reply.json()["checks"]["keys"]) == (200, "spoilt")
    with serving() as unguarded:
        assert "keys" not in unguarded.client.get("/readyz?verbose").json()["checks"]
