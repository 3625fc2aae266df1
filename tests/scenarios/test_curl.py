"""The lines of shell in docs/ways-in.md, run as they stand there, against the live service."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from feed_program import last_seq
from live_service import LiveService

PAGE = Path(__file__).parents[2] / "docs" / "ways-in.md"
pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or not Path("/proc/loadavg").exists(), reason="no curl, or no /proc/loadavg"
)


def blocks() -> list[str]:
    """Every shell block that calls curl."""
    found = [block for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if "curl" in block]
    assert len(found) == 3
    return found


def test_the_lines_do_what_the_page_says(tmp_path: Path) -> None:
    """A line for cron, one with a seq that may be sent again, and a file."""
    service = LiveService(tmp_path)
    try:
        service.start()

        def run(block: str) -> str:
            given = block.replace("http://localhost:8000", service.url)
            assert given != block
            done = subprocess.run(
                ["sh", "-e", "-c", given], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        cron, numbered, file = blocks()
        cron = re.sub(r"^\* \* \* \* \* ", "", cron).replace(r"\%", "%")
        run(cron)
        run(cron)
        assert last_seq(service, "load") == 2
        (tmp_path / "seq").write_text("0\n")
        run(numbered)
        run(numbered)
        assert (last_seq(service, "load-1"), (tmp_path / "seq").read_text()) == (2, "2\n")
        (tmp_path / "seq").write_text("1\n")  # killed before it could write the number down
        assert '"duplicate":true' in run(numbered)
        assert last_seq(service, "load-1") == 2
        (tmp_path / "history.ndjson").write_text('{"x": {"v": 1}}\n{"x": {"v": 2}}\n')
        run(file)
        assert last_seq(service, "history") == 2
    finally:
        service.end()
