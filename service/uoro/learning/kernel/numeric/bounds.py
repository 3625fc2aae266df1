"""Whether a state's indices lie within its arrays: asked of states that came from outside. Not compiled."""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.numeric import history, intervals, numbers, paths, seasons


def unsound_part(state: numbers.State) -> str | None:
    """Name of the first part that holds an index out of its array, or None."""
    memo = state.memo
    position, count = (int(value) for value in state.place)
    day, week = state.slots.tolist()
    checks = {
        "place": 0 <= position <= history.SIZE and count >= 0,
        "period": _within(state.period, 0, history.L - 1),
        "slots": _is_lane(day, 0, seasons.DAY_SLOTS) and _is_lane(week, seasons.DAY_SLOTS, seasons.WEEK_SLOTS),
        "path_age": _within(state.path_age, 0, paths.LENGTH),
        "counts": bool((state.counts >= -1).all()),
        "memo": _within(memo[:, intervals.CHANGE_BIN], 0, intervals.NUM_BINS - 1)
        and _within(memo[:, intervals.PLACE_BIN], 0, intervals.NUM_BINS - 1)
        and _within(memo[:, intervals.SLOT], -1, intervals.NUM_DAY_SLOTS - 1),
    }
    return next((name for name, is_sound in checks.items() if not is_sound), None)


def _within(values: np.ndarray, least: int, most: int) -> bool:
    return bool(((values >= least) & (values <= most)).all())


def _is_lane(lane: list[int], first: int, most: int) -> bool:
    """A lane of slots without a size points nowhere yet."""
    size, now, following = lane
    if not 0 <= size <= most:
        return False
    return size == 0 or (first <= now < first + size and first <= following < first + size)
