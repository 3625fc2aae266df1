"""Label set -> stream: its id, by a template, and its labels. Pure.

Rules:
1. `{label}` stands for a label's value, `{*}` for all labels that the template does not name, as `name:value`
   between slashes. A label that a series does not have leaves nothing; empty segments are dropped.
2. A character that no id may hold becomes `_`. Where anything was changed or cut off, or `{*}` could be read in two
   ways, the id ends in `/.` and 16 digits of the label set's fingerprint, which no other id does.
3. A stream carries the fingerprint as its label `__series__`, so that two label sets which a template throws together
   are told apart, and the second refused, even after a restart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from uoro.ingest.labels import NAME, Labels
from uoro.limits import MAX_LABEL_KEY_CHARS, MAX_LABEL_VALUE_CHARS, MAX_LABELS, MAX_STREAM_ID_CHARS

DEFAULT_TEMPLATE = "{__name__}/{*}"
SERIES_LABEL = "__series__"
NUM_DIGITS = 16
_PART = re.compile(r"\{([^{}]+)\}|([^{}]+)")
_TEXT = re.compile(r"[A-Za-z0-9._\-:/]*")
_FOREIGN = re.compile(r"[^A-Za-z0-9._\-:/]")
_FOREIGN_TO_A_SEGMENT = re.compile(r"[^A-Za-z0-9._\-:]")
_FOREIGN_TO_A_KEY = re.compile(r"[^A-Za-z0-9_]")
_BEFORE_THE_FIRST = re.compile(r"^[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Named:
    """The stream of a series."""

    stream: str
    labels: dict[str, str]


class Naming:
    """One template. Raises ValueError, in one sentence, for one that cannot be followed."""

    def __init__(self, template: str = DEFAULT_TEMPLATE) -> None:
        parts = [(match[1] or "", match[2] or "") for match in _PART.finditer(template)]
        if "".join(f"{{{label}}}" if label else text for label, text in parts) != template:
            raise ValueError(f"{template!r} has a brace without its partner, or nothing between two")
        for _, text in parts:
            if not _TEXT.fullmatch(text):
                raise ValueError(f"{text!r} has characters that no stream id may have")
        if not any(label for label, _ in parts):
            raise ValueError(f"{template!r} names no label: every series would have the same stream")
        self._parts = parts
        self._named = {label for label, _ in parts}

    def name(self, labels: Labels, fingerprint: bytes) -> Named:
        """The stream of a label set."""
        given = dict(labels)
        written: list[str] = []
        is_exact = True
        for label, text in self._parts:
            part, is_faithful = (text, True) if not label else self._written(label, given)
            written.append(part)
            is_exact &= is_faithful
        joined = "".join(written)
        stream = "/".join(segment for segment in _BEFORE_THE_FIRST.sub("", joined).split("/") if segment)
        # Template texts may leave slashes at the ends; whatever else was lost here was part of a name.
        is_exact &= bool(stream) and not _BEFORE_THE_FIRST.match(joined.lstrip("/"))
        if not is_exact or len(stream) > MAX_STREAM_ID_CHARS:
            ending = "/." + fingerprint.hex()[:NUM_DIGITS]
            stream = (stream[: MAX_STREAM_ID_CHARS - len(ending)].rstrip("/") or "series") + ending
        return Named(stream, self._kept(labels, fingerprint))

    def _written(self, label: str, given: dict[str, str]) -> tuple[str, bool]:
        """What stands for a part of the template, and whether it can be read back."""
        if label != "*":
            value = given.get(label, "")
            return _FOREIGN.sub("_", value), not _FOREIGN.search(value)
        rest = [(name, value) for name, value in sorted(given.items()) if name not in self._named]
        is_faithful = not any(_FOREIGN_TO_A_KEY.search(n) or _FOREIGN_TO_A_SEGMENT.search(v) for n, v in rest)
        return "/".join(
            f"{_FOREIGN_TO_A_KEY.sub('_', name)}:{_FOREIGN_TO_A_SEGMENT.sub('_', value)}" for name, value in rest
        ), is_faithful

    def _kept(self, labels: Labels, fingerprint: bytes) -> dict[str, str]:
        """The labels that a stream can carry, the name first; one that does not fit is left out, never cut."""
        kept = {SERIES_LABEL: fingerprint.hex()}
        for name, value in sorted(labels, key=lambda pair: pair[0] != NAME):
            is_fitting = 1 <= len(name) <= MAX_LABEL_KEY_CHARS and ":" not in name
            if len(kept) < MAX_LABELS and is_fitting and len(value) <= MAX_LABEL_VALUE_CHARS and name != SERIES_LABEL:
                kept[name] = value
        return kept


@dataclass(frozen=True, slots=True)
class SeriesRules:
    """What a deployment says of the series that it is sent.

    Attributes:
        naming: label set -> stream.
        taken: which metrics are learned from, by their whole name; the others are left out.
        is_rating: counters become rates.
    """

    naming: Naming = field(default_factory=Naming)
    taken: re.Pattern[str] = re.compile(".*")
    is_rating: bool = True
