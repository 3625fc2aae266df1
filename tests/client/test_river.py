"""The forecaster against River's own checks and the live service."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from live_service import LiveService

checks = pytest.importorskip("river.checks", exc_type=ImportError)
pytest.importorskip("sklearn", exc_type=ImportError)

from uoro_client import Client, ClientError  # noqa: E402 - River may be absent
from uoro_client.river import StreamForecaster  # noqa: E402

SPEC = {"hidden_size": 2, "season": "none"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    service = LiveService(tmp_path_factory.mktemp("river"), {"AUTO_CREATE": "false"})
    service.start()
    yield service
    service.end()


@pytest.fixture
def model(service: LiveService) -> StreamForecaster:
    return StreamForecaster(service.url, spec=SPEC)


def test_rivers_own_checks(model: StreamForecaster) -> None:
    """Every check that River makes of a forecaster, none skipped; and it made those of forecasting."""
    checks.check_estimator(model)
    names = {check.__name__ for check in checks.yield_checks(model)}
    assert {"check_forecast", "check_learn_one", "check_clone_with_new_params_applies"} <= names
    assert not model._unit_test_skips()


def test_it_says_what_the_service_says(service: LiveService, model: StreamForecaster) -> None:
    """The means of the next steps of its stream, whose inputs and times are the features."""
    assert model.forecast(3) == [0.0, 0.0, 0.0]
    assert model.stream is None
    for n in range(60):
        time = datetime(2024, 1, 1, n % 24, tzinfo=UTC)
        model.learn_one(math.sin(n), {"load": n % 5, "kind": "ab"[n % 2], "open": n % 3 == 0, "at": time})
    assert model.stream is not None
    with Client(service.url) as client:
        info = client.stream(model.stream)
        assert info.last_seq == 60
        assert {name: (one["type"], one.get("role", "target")) for name, one in info.spec["fields"].items()} == {
            "y": ("number", "target"),
            "load": ("number", "input"),
            "kind": ("category", "input"),
            "open": ("category", "input"),
        }
        said = [prediction.number("y").mean for prediction in client.predict(model.stream, 5)]
        assert model.forecast(5, [{}] * 5) == said
        assert client.results(model.stream, 1)[0].t == "2024-01-01T11:00:00Z"


def test_features_come_and_go(model: StreamForecaster) -> None:
    """One that is new is left out, one that is gone is missing, and a missing target is no number."""
    model.learn_one(1.0, {"a": 1.0})
    model.learn_one(2.0, {"b": 1.0})
    model.learn_one(None)
    assert len(model.forecast(2)) == 2
    with pytest.raises(ValueError, match="name of the target"):
        model.learn_one(1.0, {"y": 1.0})


def test_copies_stand_alone(model: StreamForecaster) -> None:
    """A clone knows nothing, a deep copy all and goes its own way, a pickle goes on where it was."""
    for n in range(5):
        model.learn_one(float(n))
    assert model.clone().stream is None
    copied = copy.deepcopy(model)
    assert copied.stream != model.stream
    assert copied.forecast(3) == model.forecast(3)
    copied.learn_one(100.0)
    assert copied.forecast(3) != model.forecast(3)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - made a moment ago
    again.learn_one(5.0)
    assert (again.stream, again.forecast(1)) == (model.stream, model.forecast(1))


def test_nobody_there() -> None:
    """An error of the client's, and no stream."""
    model = StreamForecaster("http://127.0.0.1:9")
    model._calling()._patience = type(model._calling()._patience)(max_attempts=1)
    with pytest.raises(ClientError):
        model.learn_one(1.0)
    assert model.stream is None
