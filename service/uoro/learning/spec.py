"""What a stream is: its fields, the model that listens to it, and how that model learns.

Frozen and validated: a spec that exists can be built. JSON form in and out is the public contract.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from uoro import limits
from uoro.domain import Observation
from uoro.errors import InvalidObservation, InvalidSpec

Role = Literal["target", "input"]
FieldName = Annotated[str, Field(min_length=1, max_length=limits.MAX_FIELD_NAME_CHARS)]

DEFAULT_CATEGORY_SIZE = 64
INFERRED_CATEGORY_SIZE = 128


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NumberField(_Frozen):
    """A real-valued field."""

    type: Literal["number"] = "number"
    role: Role = "target"


class CategoryField(_Frozen):
    """A field that takes one of at most `size` values, learned as they appear."""

    type: Literal["category"] = "category"
    role: Role = "target"
    size: int = Field(default=DEFAULT_CATEGORY_SIZE, ge=2, le=limits.MAX_CATEGORY_SIZE)


AnyField = Annotated[NumberField | CategoryField, Field(discriminator="type")]


class LearnerSpec(_Frozen):
    """How the recurrent core estimates ∂s/∂θ (SCIENCE: Tallec & Ollivier 2017).

    Attributes:
        name: the estimator; `frozen` leaves the recurrent weights as they were drawn.
        rank: independent copies of the rank-one estimate, averaged (uoro).
        memory_decay: γ in s̃ ← ρ₀ γ J s̃ + ρ₁ ν; 1 is unbiased, below 1 favours the recent past (uoro).
        control_variate: what carries the bulk of the influence, so that UORO estimates only the remainder (uoro).
        weight: λ of the stochastic part behind a control variate: 1 is unbiased, 0 deterministic, auto from the
            data, which takes a rank of 2 or more (uoro).
        truncation: length of a chunk in steps (tbptt).

    On the cell `lru`, whose units do not hear each other, rtrl, snap1 and uoro behind a control variate are one and the
    same exact gradient in O(p): there is no remainder, and rank, weight and memory_decay change nothing.
    """

    name: Literal["uoro", "snap1", "rtrl", "tbptt", "frozen"] = "uoro"
    rank: int = Field(default=8, ge=1, le=limits.MAX_RANK)
    memory_decay: float = Field(default=1.0, gt=0.0, le=1.0)
    control_variate: Literal["none", "snap1"] = "none"
    weight: Literal["auto"] | Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    truncation: int = Field(default=16, ge=1, le=limits.MAX_TRUNCATION_STEPS)

    @model_validator(mode="after")
    def _can_weigh(self) -> LearnerSpec:
        if self.weight == "auto" and self.rank < 2:
            raise ValueError("weight 'auto' compares copies: it takes a rank of 2 or more")
        return self


class OptimizerSpec(_Frozen):
    """The optimizer of the recurrent core and its readout.

    Attributes:
        learning_rate: η at the first step; step t uses η / (1 + decay·√t).
        clip: bound on the norm of the whole gradient, or None. Clipping biases UORO.
    """

    name: Literal["adam", "sgd", "rmsprop"] = "adam"
    learning_rate: float = Field(default=0.001, gt=0.0, le=10.0)
    decay: float = Field(default=0.0, ge=0.0, le=1e3)
    clip: float | None = Field(default=None, gt=0.0)


NUMBER_DEFAULTS: dict[str, object] = {
    "hidden_size": 24,
    "learner": {"name": "uoro", "rank": 2, "control_variate": "snap1", "weight": "auto"},
    "optimizer": {"name": "adam", "learning_rate": 0.002},
}
CATEGORY_DEFAULTS: dict[str, object] = {
    **NUMBER_DEFAULTS,
    "hidden_size": 32,
    "optimizer": {"name": "adam", "learning_rate": 0.01, "decay": 0.02},
}
"""What a spec that says nothing gets: the recipe that does best on the public streams (docs/learning.md). A learner
or an
optimizer that is named has its own defaults, which are the plain ones."""


class StreamSpec(_Frozen):
    """Everything that decides how a stream is learned, besides its observations."""

    fields: dict[FieldName, AnyField] = Field(min_length=1, max_length=limits.MAX_FIELDS)
    cell: Literal["gru", "lstm", "rnn", "lru", "linear"] = "gru"
    hidden_size: int = Field(default=32, ge=1, le=limits.MAX_HIDDEN_UNITS)
    learner: LearnerSpec = LearnerSpec()
    aggregation: Literal["boa", "none"] = "boa"
    season: Literal["auto", "none"] | Annotated[int, Field(ge=2, le=512)] = "auto"
    optimizer: OptimizerSpec = OptimizerSpec()
    loss: Literal["auto", "gaussian", "huber", "squared", "categorical"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, document: object) -> object:
        if not isinstance(document, dict) or not isinstance(document.get("fields"), dict):
            return document
        fields = [field for field in document["fields"].values() if isinstance(field, dict)]
        has_numbers = any(f.get("type") == "number" and f.get("role", "target") == "target" for f in fields)
        return {**(NUMBER_DEFAULTS if has_numbers else CATEGORY_DEFAULTS), **document}

    @model_validator(mode="after")
    def _has_a_fitting_target(self) -> StreamSpec:
        targets = [f.type for f in self.fields.values() if f.role == "target"]
        if not targets:
            raise ValueError("at least one field must have the role 'target'")
        if self.loss == "categorical" and "number" in targets:
            raise ValueError("loss 'categorical' does not fit a number target; use 'auto'")
        if self.loss in {"gaussian", "huber", "squared"} and "number" not in targets:
            raise ValueError(f"loss {self.loss!r} needs a number target; use 'auto'")
        return self

    @classmethod
    def parse(cls, document: object) -> StreamSpec:
        """The spec a JSON document describes. Raises InvalidSpec naming the first misfit."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidSpec(f"{where or 'spec'}: {first['msg']}", field=where or None) from error

    @classmethod
    def infer(cls, observation: Observation) -> StreamSpec:
        """The default spec for the fields of a first observation. Raises InvalidObservation."""
        fields: dict[str, object] = {}
        for name, value in observation.x.items():
            if isinstance(value, str):
                fields[name] = {"type": "category", "size": INFERRED_CATEGORY_SIZE}
            elif value is not None:
                fields[name] = {"type": "number"}
        if not fields:
            raise InvalidObservation("a first observation needs at least one value to infer the fields from")
        return cls.parse({"fields": fields})

    def document(self) -> dict[str, object]:
        """The whole spec as a JSON document, defaults included; `parse` is its inverse."""
        return self.model_dump(mode="json")

    @cached_property
    def kinds(self) -> dict[str, type]:
        """The type of each field's values."""
        return {name: float if its.type == "number" else str for name, its in self.fields.items()}

    def check(self, observation: Observation) -> None:
        """Raises InvalidObservation, naming the field, if an observation does not fit the fields."""
        for name, value in observation.x.items():
            field = self.fields.get(name)
            if field is None:
                raise InvalidObservation(f"unknown field {name!r}", field=name)
            if value is not None and isinstance(value, str) != (field.type == "category"):
                raise InvalidObservation(f"field {name!r} takes a {field.type}", field=name)
