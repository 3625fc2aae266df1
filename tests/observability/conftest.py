"""Events as an engine would tell them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from uoro.domain import Metrics, NumberPrediction, Observation, Prediction, Result, Value
from uoro.observability.metrics import PrometheusMeter


@dataclass
class Event:
    """One learned observation; every part can be replaced before it is told."""

    x: dict[str, Value] = field(default_factory=lambda: {"value": 10.5})
    prediction: Prediction | None = field(default_factory=lambda: {"value": NumberPrediction(10.25, 8.75, 11.5)})
    next: Prediction | None = field(default_factory=lambda: {"value": NumberPrediction(10.75, 9.0, 12.0)})
    observations: int = 41
    loss: float | None = 0.25
    baseline_loss: float | None = 0.5
    skill: float | None = 0.5
    anomaly: float | None = 0.125
    estimate_noise: float | None = 0.75
    estimate_weight: float | None = 0.375
    influence_norm: dict[str, float] = field(default_factory=lambda: {"s_tilde": 1.5, "theta_tilde": 2.5})

    def tell(self, meter: PrometheusMeter, stream: str, duration_s: float = 0.0003) -> None:
        """Hand the event to a meter."""
        result = Result(
            seq=self.observations,
            t=None,
            prediction=self.prediction,
            loss=self.loss,
            baseline_loss=self.baseline_loss,
            anomaly=self.anomaly,
            next=self.next,
        )
        metrics = Metrics(
            observations=self.observations,
            window=1000,
            loss=self.loss,
            baseline_loss=self.baseline_loss,
            skill=self.skill,
            total_loss=99.0,
            total_baseline_loss=99.0,
            total_skill=-99.0,
            coverage=0.9,
            anomaly=self.anomaly,
            influence_norm=self.influence_norm,
            expert_weights={},
            numeric_resets=0,
            estimate_noise=self.estimate_noise,
            estimate_weight=self.estimate_weight,
        )
        losses = [math.nan if self.loss is None else self.loss]
        meter.learned(stream, [Observation(self.x, seq=self.observations)], [result], losses, self.skill, duration_s)
        meter.measured(stream, metrics)


@pytest.fixture
def event() -> Callable[..., Event]:
    """Builds an Event."""
    return Event
