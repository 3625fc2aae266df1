"""Keys and the file that holds them: what is written, what is refused, what survives a crash and a crowd."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro import limits
from uoro.access.key import Key, Scope, hash_of, id_of, new_token
from uoro.access.keyfile import Keys, add_key, encode, parse, read_keys, remove_keys
from uoro.errors import InvalidKeyFile

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def key_of(token: str, **more: Any) -> Key:
    given_ = {"name": id_of(token), "scopes": (Scope.READ,), "created": NOW, **more}
    return Key(id=id_of(token), hash=hash_of(token), **given_)


def test_a_token_has_192_random_bits_and_a_public_id() -> None:
    """48 hexadecimal digits nobody has seen before; the id finds the key and is no part of the secret."""
    tokens = {new_token() for _ in range(200)}
    assert len({token.rpartition("_")[2] for token in tokens}) == 200
    for token in tokens:
        assert id_of(token) == token.split("_")[1]
        assert len(bytes.fromhex(token.split("_")[2])) * 8 == 192


@pytest.mark.parametrize(
    "text", ["", "uoro", "uoro__", "uoro_0_0", "UORO" + new_token()[4:], new_token() + "\n", "é" * 9]
)
def test_what_is_no_token_names_no_id(text: str) -> None:
    """And has a hash all the same."""
    assert id_of(text) == ""
    assert hash_of(text).startswith("sha256:")


@pytest.mark.parametrize(
    ("scopes", "granted"),
    [
        ((Scope.READ,), {Scope.READ}),
        ((Scope.WRITE,), {Scope.WRITE}),
        ((Scope.READ, Scope.WRITE), {Scope.READ, Scope.WRITE}),
        ((Scope.ADMIN,), set(Scope)),
    ],
)
def test_admin_implies_the_others_and_nothing_else_implies(scopes: tuple[Scope, ...], granted: set[Scope]) -> None:
    """Each scope alone, two together, and admin."""
    key = key_of(new_token(), scopes=scopes)
    assert {scope for scope in Scope if key.grants(scope)} == granted


def test_a_key_is_over_at_its_moment() -> None:
    """Just before it is in force, at the moment it is not; without one it never is."""
    key = key_of(new_token(), expires=NOW)
    assert not key.is_expired(NOW - timedelta(microseconds=1))
    assert key.is_expired(NOW)
    assert not key_of(new_token()).is_expired(NOW + timedelta(days=40_000))


PREFIXES = st.sampled_from(["", "a", "plant/3/", "a" * 200])
BOUNDS = st.none() | st.integers(1, limits.MAX_PER_SECOND)
MOMENTS = st.datetimes(timezones=st.just(UTC))


@st.composite
def many_keys(draw: st.DrawFn) -> Keys:
    names = draw(
        st.lists(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=9).filter(str.isprintable),
            unique=True,
            max_size=5,
        )
    )
    return tuple(
        key_of(
            new_token(),
            name=name,
            scopes=tuple(draw(st.sets(st.sampled_from(Scope), min_size=1))),
            prefix=draw(PREFIXES),
            created=draw(MOMENTS),
            expires=draw(st.none() | MOMENTS),
            max_observations_per_s=draw(BOUNDS),
            max_bytes_per_s=draw(BOUNDS),
            max_streams=draw(BOUNDS),
        )
        for name in names
    )


@given(keys=many_keys())
def test_what_is_written_is_read(keys: Keys) -> None:
    """Any keys come back as they were, through JSON that people can read."""
    assert parse(encode(keys)) == keys
    assert b"\n  " in encode(keys)


GOOD = json.loads(encode((key_of("uoro_" + "a" * 12 + "_" + "b" * 48),)))


def changed(**members: object) -> bytes:
    return json.dumps(GOOD | {"keys": [GOOD["keys"][0] | members]}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"\xff", b"{}", b'{"version": 2, "keys": []}', b'{"version": 1, "keys": [], "more": 1}',
        changed(id="A" * 12), changed(id="a" * 11), changed(id="a" * 12 + "\n"), changed(hash="b" * 64),
        changed(hash="sha256:" + "b" * 63), changed(scopes=[]), changed(scopes=["root"]), changed(scope="read"),
        changed(prefix="/a"), changed(prefix="?"), changed(prefix="a" * 201), changed(name=""), changed(name="a\nb"),
        changed(name="n" * 101), changed(created="2026-01-31"), changed(expires="soon"), changed(max_streams=0),
        changed(max_observations_per_s=0), changed(max_bytes_per_s=10**12 + 1), changed(max_bytes_per_s=1.5),
        json.dumps(GOOD | {"keys": GOOD["keys"] * 2}).encode(),
        json.dumps(GOOD | {"keys": [GOOD["keys"][0], GOOD["keys"][0] | {"id": "c" * 12}]}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_key_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    """Nothing is guessed: an unknown member, scope or version is a fault, as is a name or id that is there twice."""
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(InvalidKeyFile, match=r"keys\.json is not usable: .*\.") as refused:
        read_keys(path)
    assert "\n" not in str(refused.value)


def test_limits_of_a_file_at_them_and_one_past(tmp_path: Path) -> None:
    """As many keys and bytes as are allowed are read and added; one more is not."""
    full = tuple(key_of(new_token()) for _ in range(limits.MAX_KEYS))
    assert parse(encode(full)) == full
    path = tmp_path / "keys.json"
    path.write_bytes(encode(full))
    with pytest.raises(InvalidKeyFile, match="1000 keys"):
        add_key(path, key_of(new_token()))
    assert read_keys(path) == full
    with pytest.raises(InvalidKeyFile, match="1000 keys"):
        parse(encode((*full, key_of(new_token()))))
    padded = encode(full[:1]).ljust(limits.MAX_KEY_FILE_BYTES)
    assert parse(padded) == full[:1]
    path.write_bytes(padded + b" ")
    with pytest.raises(InvalidKeyFile, match="bytes"):
        read_keys(path)
    assert parse(changed(name="n" * 100))[0].name == "n" * 100
    assert parse(changed(max_bytes_per_s=10**12))[0].max_bytes_per_s == 10**12


def test_a_file_is_its_owner_s_alone_and_holds_no_secret(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, after each change; the secret is in no file of the directory."""
    path, token = tmp_path / "keys.json", new_token()
    mask = os.umask(0)
    try:
        add_key(path, key_of(token))
        path.chmod(0o644)
        add_key(path, key_of(new_token()))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for file in tmp_path.iterdir():
        assert token.rpartition("_")[2] not in file.read_text()


def test_keys_are_removed_by_what_is_meant(tmp_path: Path) -> None:
    """Those that are meant go, the others stay; if none is meant the file is not touched."""
    path, tokens = tmp_path / "keys.json", [new_token() for _ in range(3)]
    for token in tokens:
        add_key(path, key_of(token))
    before = path.stat().st_ino
    assert remove_keys(path, lambda _: False) == ()
    assert path.stat().st_ino == before
    (gone,) = remove_keys(path, lambda key: key.id == id_of(tokens[1]))
    assert gone.id == id_of(tokens[1])
    assert [key.id for key in read_keys(path)] == [id_of(tokens[0]), id_of(tokens[2])]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file behind it is replaced."""
    (tmp_path / "real").mkdir()
    path, link = tmp_path / "real" / "keys.json", tmp_path / "link.json"
    add_key(path, key_of(new_token()))
    link.symlink_to(path)
    add_key(link, key_of(new_token()))
    assert link.is_symlink()
    assert len(read_keys(path)) == 2


def test_a_crowd_adds_keys_and_each_is_kept(tmp_path: Path) -> None:
    """`uoro keys create` in several processes, each with threads, at once: no key is lost."""
    path = tmp_path / "keys.json"
    program = "import sys; from pathlib import Path; from test_keys import add_many; add_many(Path(sys.argv[1]), 10)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    crowd = [subprocess.Popen([sys.executable, "-c", program, str(path)], env=environment) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: add_many(path, 5), range(3)))
    assert [process.wait(timeout=60) for process in crowd] == [0, 0, 0]
    assert len(read_keys(path)) == 3 * 10 + 3 * 5


def add_many(path: Path, num: int) -> None:
    """Add so many keys, one by one."""
    for _ in range(num):
        add_key(path, key_of(new_token()))


DIES = """
import os, signal, sys
from pathlib import Path
from test_keys import key_of
from uoro.access import keyfile
from uoro.access.key import new_token

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

where, path = sys.argv[1], Path(sys.argv[2])
if where == "flush":
    os.fsync = die
elif where == "replace":
    Path.replace = die
keyfile.add_key(path, key_of(new_token()))
"""


@pytest.mark.parametrize("where", ["flush", "replace"])
def test_a_crash_while_writing_changes_nothing(tmp_path: Path, where: str) -> None:
    """Killed before the new file has taken its place: the old one is whole, nobody is locked out, and the next
    change removes what was left over.
    """
    path = tmp_path / "keys.json"
    add_key(path, key_of(new_token()))
    before = path.read_bytes()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    killed = subprocess.run([sys.executable, "-c", DIES, where, str(path)], env=environment, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert len(list(tmp_path.glob(".keys.json.*.new"))) == 1
    add_key(path, key_of(new_token()))
    assert len(read_keys(path)) == 2
    assert list(tmp_path.glob(".keys.json.*.new")) == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: the error is told, the old file is whole, no other is there."""
    path = tmp_path / "keys.json"
    add_key(path, key_of(new_token()))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        add_key(path, key_of(new_token()))
    assert path.read_bytes() == before
    assert list(tmp_path.glob(".keys.json.*.new")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_keeps_a_file_its_owner_s(tmp_path: Path) -> None:
    """A file that the service's user owns is still readable for it after root changed it."""
    path = tmp_path / "keys.json"
    add_key(path, key_of(new_token()))
    os.chown(path, 12345, 12345)
    add_key(path, key_of(new_token()))
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12345)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: (path.unlink(), path.mkdir())])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """One sentence with its path and why."""
    path = tmp_path / "keys.json"
    add_key(path, key_of(new_token()))
    spoil(path)
    with pytest.raises(InvalidKeyFile, match=r"keys\.json cannot be read: .*\."):
        read_keys(path)


def test_a_key_is_a_value() -> None:
    """It cannot be changed in place, and equals one of the same members."""
    key = key_of(new_token())
    with pytest.raises(AttributeError):
        key.prefix = "x"  # type: ignore[misc]
    assert msgspec.structs.replace(key) == key
