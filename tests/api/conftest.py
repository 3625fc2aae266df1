"""Keys for the tests of the API: a guarded server, and a key file of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from key_ground import GuardedServer, KeyFile, guarded


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """One guarded server for the tests of this file."""
    with guarded(tmp_path_factory.mktemp("keys") / "keys.json") as ground:
        yield ground


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    """A key file of one's own."""
    return KeyFile(tmp_path / "keys.json")
