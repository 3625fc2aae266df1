"""The examples of the client's README run as they stand, against the live service."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_service import LiveService

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    service = LiveService(tmp_path_factory.mktemp("readme"))
    service.start()
    yield service
    service.end()


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(service: LiveService, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """With the service's address in place of the default one; in order, so that a later one may rely on an earlier."""
    example = EXAMPLES[number]
    for extra in ("pandas", "river"):
        if f"import {extra}" in example or f"from {extra}" in example:
            pytest.importorskip(extra, exc_type=ImportError)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(example.replace(ADDRESS, service.url), str(README), "exec", flags=flags, dont_inherit=True)
    running = eval(code, {"__name__": "example"})  # noqa: S307 - our own examples
    if inspect.iscoroutine(running):
        asyncio.run(running)


def test_no_example_is_left_out() -> None:
    """All blocks were found, and those that call a service name its address."""
    assert len(EXAMPLES) == 6
    assert all(ADDRESS in example or "ServiceDouble" in example for example in EXAMPLES)
