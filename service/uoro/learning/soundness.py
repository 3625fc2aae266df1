"""Whether a block holds a state that a learner could have come to: asked of blocks that came from outside.

Whoever writes the state of a stream could otherwise send an index out of its array, or an infinity around.
"""

from __future__ import annotations

import numpy as np

from uoro.errors import CorruptRecord
from uoro.learning.grid import MAX_DECIMALS
from uoro.learning.learner import Learner
from uoro.learning.seasons import MAX_SLOTS

MAY_BE_NAN = ("encoder.last", "encoder.previous", "seasons.", "numbers.", "grid.plain", "ring.", "evaluation.anomaly")
"""Parts, by the beginning of their names, where NaN says "none so far"."""

NEVER_NEGATIVE = (
    "learner.seq", "core.steps", "core.num_resets", "encoder.variance", "encoder.scale", "encoder.count",
    "evaluation.histogram", "evaluation.covered", "intervals.scale", "intervals.count", "aggregation.weights",
    "aggregation.variance", "aggregation.bound", "grid.decimals", "ar_short.error", "ar_long.error",
)  # fmt: skip
MAX_COUNT = 2**53


def check(learner: Learner) -> None:
    """Raises CorruptRecord, naming the first part that is not sound."""
    views = learner.block.views
    for name, view in views.items():
        if view.dtype.kind == "f":
            allowed = ~np.isinf(view) if name.startswith(MAY_BE_NAN) else np.isfinite(view)
            _require(bool(allowed.all()), name)
        elif view.dtype.kind == "i":
            _require(bool((np.abs(view.astype(np.float64)) <= MAX_COUNT).all()), name)
        if name in NEVER_NEGATIVE or name.endswith((".square", ".counts", ".weights")):
            _require(bool((view >= 0).all()), name)
    _check_categories(learner)
    for lane in views["seasons.slots"].tolist():
        num, newest = lane
        _require(0 <= num <= MAX_SLOTS and 0 <= newest < max(num, 1), "seasons.slots")
    if "grid.decimals" in views:
        _require(bool((views["grid.decimals"] <= MAX_DECIMALS + 1).all()), "grid.decimals")
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
        _require(float(target.weights.sum()) > 0, "categories.weights")
        if target.ngrams is not None:
            recent = target.ngrams.recent
            _require(bool(((recent >= 0) & (recent <= target.size)).all()), "categories.recent")


def _require(is_sound: bool, name: str) -> None:  # noqa: FBT001 - an assertion's argument
    if not is_sound:
        raise CorruptRecord(f"part {name!r} of the state is not sound")
