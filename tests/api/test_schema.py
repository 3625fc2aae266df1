"""The OpenAPI document against the service: schemathesis sends what it allows and what it forbids, call by call.

No answer may be a server error, have a status, content type or shape that the document lacks, or take what the document
forbids; a method that a path does not have is 405. `UORO_CAMPAIGN_CASES` cases for each call under `make campaign`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from api_ground import CountingMeter, Server, serving
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from key_ground import KeyFile, bearer

from uoro.api.app import create_app
from uoro.api.keyring import Keyring
from uoro.limits import Limits

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

CONFIG = {"generation": {"allow-extra-parameters": False}}
"""Parameters of a query that no call knows are ignored, as everywhere."""

schemathesis.checks.load_all_checks()
POSITIVE, NEGATIVE, AUTH = (
    schemathesis.checks.CHECKS.get_one(name)
    for name in ("positive_data_acceptance", "negative_data_rejection", "ignored_auth")
)
"""Left out are: that all is taken that the document allows (a spec has rules beyond it, a file must be a model), and
what keys may do, which has a judge of its own (tests/api/test_rights.py)."""

LENIENT = ("observe", "observeStreams", "ready", "listStreams", "importModel")
"""Calls that take more than the document says: of several observations what does not fit is refused one by one, and a
switch may be given as 1, 0 or by its name alone."""

LIMITS = Limits(drain_timeout_s=1.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that creates unknown streams, so that more is answered than that there is none."""
    with serving(auto_create=True, limits=LIMITS) as ground:
        ground.create_as("0")
        yield ground


def judge(server: Server, path: Path, num_cases: int) -> int:
    """Send cases to each call of the document; returns how many calls there are."""
    token = KeyFile(path).make("admin")
    app = create_app(server.engine, LIMITS, CountingMeter(), keyring=Keyring(path))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=schemathesis.Config.from_dict(CONFIG))
    calls = [found.ok() for found in schema.get_all_operations()]
    for call in calls:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            with suppress(Unsatisfiable):  # what has no parameters cannot be asked for wrongly
                judge_call(call, mode, bearer(token), num_cases)
    return len(calls)


def judge_call(call: Any, mode: Any, headers: dict[str, str], num_cases: int) -> None:
    """Send cases to one call."""
    is_lenient = call.definition.raw["operationId"] in LENIENT
    left_out = [POSITIVE, AUTH, NEGATIVE] if is_lenient else [POSITIVE, AUTH]

    @settings(
        max_examples=num_cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=call.as_strategy(generation_mode=mode))
    def answers_as_documented(case: Any) -> None:
        case.call_and_validate(headers=headers, excluded_checks=left_out)

    answers_as_documented()


def test_every_call_answers_as_documented(server: Server, tmp_path: Path) -> None:
    """A few cases for each call, right ones and wrong ones."""
    assert judge(server, tmp_path / "keys.json", 8) == 21


@pytest.mark.campaign
def test_campaign_of_documented_calls(server: Server, tmp_path: Path) -> None:
    """Many."""
    judge(server, tmp_path / "keys.json", int(os.environ.get("UORO_CAMPAIGN_CASES", "500")))
