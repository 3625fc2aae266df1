"""Whether a block holds a state that a learner could have come to: asked of blocks that came from outside.

Whoever writes the state of a stream could otherwise send an index out of its array, or an infinity around.
"""

from __future__ import annotations

import numpy as np

from uoro.errors import CorruptRecord
from uoro.learning.alone import Alone
from uoro.learning.elementwise import is_inside
from uoro.learning.kernel.alone import bounds
from uoro.learning.kernel.grid import MAX_DECIMALS
from uoro.learning.kernel.numeric.bounds import unsound_part as unsound_number
from uoro.learning.learner import Learner
from uoro.learning.mixture import Mixture

MAY_BE_NAN = (
    "numbers.",
    "forecast.",
    "grid.plain",
    "ring.",
    "evaluation.anomaly",
)
"""Parts, by the beginning of their names, where NaN says "none so far"."""

NEVER_NEGATIVE = (
    "learner.seq", "core.steps", "core.num_resets",
    "evaluation.histogram", "evaluation.covered", "grid.decimals",
)  # fmt: skip
MAX_COUNT = 2**53


def check(learner: Learner) -> None:
    """Raises CorruptRecord, naming the first part that is not sound."""
    views = learner.block.views
    for name, view in views.items():
        if view.dtype.kind == "f":
            allowed = ~np.isinf(view) if name.startswith(MAY_BE_NAN) else np.isfinite(view)
            _require(bool(allowed.all()), name)
        elif view.dtype.kind == "i" and not name.endswith(".cursor"):  # it holds a hash; looked at with its target
            _require(bool((np.abs(view.astype(np.float64)) <= MAX_COUNT).all()), name)
        is_count = name.startswith("categories.") and name.endswith(".counts")
        if name in NEVER_NEGATIVE or name.endswith(".square") or is_count:
            _require(bool((view >= 0).all()), name)
    _check_categories(learner)
    numbers = learner.numbers
    unsound = bounds.unsound_part(numbers.state) if isinstance(numbers, Alone) else unsound_number(numbers.state)
    _require(unsound is None, f"numbers.{unsound}")
    if isinstance(numbers, Mixture):
        _require(bool((views["grid.decimals"] <= MAX_DECIMALS + 1).all()), "grid.decimals")
    if learner.spec.cell == "lru":
        _require(is_inside(views["core.activations"]), "core.activations")
    if "estimator.length" in views:
        length = float(views["estimator.length"][0])
        _require(length.is_integer() and 0 <= length < len(views["estimator.x"]), "estimator.length")


def _check_categories(learner: Learner) -> None:
    encoder = learner.encoder
    for field, size in enumerate(encoder.sizes):
        words = encoder.vocabularies[field]
        _require(0 <= encoder.num_known[field] <= size, "encoder.num_known")
        _require(len(set(words)) == len(words), "encoder.words")
        _require(0 <= encoder.category[field] <= size, "encoder.category")
    for target in learner.categories:
        part = target.unsound_part()
        _require(part is None, f"categories.{encoder.category_fields[target.field]}.{part}")


def _require(is_sound: bool, name: str) -> None:  # noqa: FBT001 - an assertion's argument
    if not is_sound:
        raise CorruptRecord(f"part {name!r} of the state is not sound")
