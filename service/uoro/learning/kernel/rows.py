"""What the rows of results hold: [seq, t, flags, loss, baseline loss, anomaly | prediction]; NaN is none."""

from __future__ import annotations

SEQ, T, FLAGS, LOSS, BASELINE_LOSS, ANOMALY, NUM_HEAD = range(7)
IS_CALENDAR, HAS_PREDICTION = 1, 2
"""Flags: t was a date; there was a prediction."""
