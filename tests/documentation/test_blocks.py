"""Every block of code in the README and the documentation runs, page by page, in order, against a live service.

Shell blocks run in one folder a page, Python blocks in one namespace a page. A JSON block is an answer of the block
above it and must have the answer's members, down to the innermost; a text block is what the block above printed,
exactly.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_service import LiveService
from pages import JSON, PYTHON, SHELL, TEXT, Block, blocks_of

from uoro_client import Client

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "SECURITY.md",
        ROOT / "clients/python/README.md",
        ROOT / "service/ARCHITECTURE.md",
        *(ROOT / "docs").rglob("*.md"),
    )
)
ADDRESS = "http://127.0.0.1:8000"
NOT_RUN = 2
"""Blocks that are marked as not run, on all pages."""

NO_CODE = {("service/ARCHITECTURE.md", ""), ("docs/index.md", "{toctree}")}
"""Pages and kinds of blocks that are drawings, or lists of pages."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running service."""
    live = LiveService(tmp_path_factory.mktemp("service"))
    try:
        live.start()
        yield live.url
        live.stop()
    finally:
        live.end()


class Reader:
    """Someone who does what a page says, in a folder of their own."""

    def __init__(self, url: str, home: Path) -> None:
        self._url = url
        self._home = home
        self._names: dict[str, Any] = {"__name__": "page"}
        self._opened: list[Any] = []
        programs = home / "bin"
        programs.mkdir()
        for name, words in {"uoro": "-c 'from uoro.cli import main; main()'", "python": ""}.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            program.chmod(0o755)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("UORO_")}
        self._environment = {**inherited, "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "120"}

    def run(self, block: Block) -> str:
        """What a block prints; a failure of it fails the test."""
        code = f"{block.given}\n{block.code}".replace(ADDRESS, self._url)
        return self._shell(code) if block.kind == SHELL else self._python(code)

    def close(self) -> None:
        """Close what the page left open."""
        for client in self._opened:
            client.close()

    def _shell(self, code: str) -> str:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=self._home,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, f"{code}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def _python(self, code: str) -> str:
        printed = io.StringIO()
        compiled = compile(code, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(printed), contextlib.chdir(self._home):
            waits = eval(compiled, self._names)  # noqa: S307 - a page of ours
            if waits is not None:
                asyncio.run(waits)
        self._opened += [made for made in self._names.values() if isinstance(made, Client)]
        return printed.getvalue()


def shape(value: object) -> object:
    """What an answer is made of: members by name, the shape of a list's first element, kinds of values."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.skipif(shutil.which("curl") is None, reason="the program curl is not installed")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page: str, url: str, tmp_path: Path) -> None:
    """Each block runs, and each answer and output is what the block above it gives."""
    with contextlib.closing(Reader(url, tmp_path)) as reader:
        read(page, reader)


def read(page: str, reader: Reader) -> None:
    """Do all that a page says and compare what it shows."""
    last: Block | None = None
    printed, num_runs = "", 0
    for block in blocks_of(ROOT / page):
        where = f"{page}:{block.line}"
        if block.not_run or (page, block.kind) in NO_CODE:
            last = None
        elif block.kind in {SHELL, PYTHON}:
            last, printed, num_runs = block, reader.run(block), 1
        elif block.kind in {JSON, TEXT} and last is not None:
            while num_runs < block.num_runs:
                printed, num_runs = reader.run(last), num_runs + 1
            if block.kind == TEXT:
                assert printed == block.code, where
            else:
                assert shape(json.loads(printed)) == shape(json.loads(block.code)), where
        else:
            pytest.fail(f"{where}: a block of kind {block.kind!r} that nothing above it gives")


def test_what_does_not_run_is_counted() -> None:
    """Blocks marked as not run are as many as were thought about, and each says why in at least three words."""
    reasons = {
        f"{page}:{block.line}": block.not_run for page in PAGES for block in blocks_of(ROOT / page) if block.not_run
    }
    assert len(reasons) == NOT_RUN, reasons
    assert all(len(reason.split()) >= 3 for reason in reasons.values())


def test_blocks_and_their_marks_are_read(tmp_path: Path) -> None:
    """The reader of pages finds kinds, code, lines and all three marks."""
    page = tmp_path / "page.md"
    page.write_text(
        "# T\n\n<!-- not run: it has no end -->\n```sh\na\n```\ntext\n\n"
        "<!-- given: x = 1 -->\n```python\nprint(x)\n```\n\n"
        "<!-- answer of run 3 -->\n```json\n1\n```\n\n```\nplain\n```\n"
    )
    assert blocks_of(page) == [
        Block("sh", "a\n", 4, not_run="it has no end"),
        Block("python", "print(x)\n", 10, given="x = 1"),
        Block("json", "1\n", 15, num_runs=3),
        Block("", "plain\n", 19),
    ]


def test_a_wrong_answer_is_caught() -> None:
    """A member too many, one too few, and a number that is a text have other shapes; other numbers have not."""
    right = {"a": [{"b": 1}], "c": None}
    assert shape(right) == shape({"a": [{"b": 2.5}, {}], "c": None})
    for wrong in ({"a": [{"b": 1}]}, {**right, "d": 1}, {**right, "a": [{"b": "1"}]}, {**right, "c": 0}):
        assert shape(wrong) != shape(right)
