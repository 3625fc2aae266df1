"""Label sets become ids and labels of streams."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro.domain import STREAM_ID
from uoro.ingest.labels import Labels, fingerprint_of
from uoro.ingest.naming import Naming
from uoro.limits import MAX_LABEL_KEY_CHARS, MAX_LABEL_VALUE_CHARS, MAX_LABELS, MAX_STREAM_ID_CHARS


def labels_of(**labels: str) -> Labels:
    """Labels; `name` stands for the metric's name."""
    return tuple(sorted({"__name__" if key == "name" else key: value for key, value in labels.items()}.items()))


def stream_of(labels: Labels, template: str | None = None) -> str:
    naming = Naming() if template is None else Naming(template)
    return naming.name(labels, fingerprint_of(labels)).stream


@pytest.mark.parametrize(
    ("labels", "stream"),
    [
        (labels_of(name="up", job="node", instance="db1:9100"), "up/instance:db1:9100/job:node"),
        (labels_of(name="up"), "up"),
        (labels_of(name="job:rate5m", le="0.5"), "job:rate5m/le:0.5"),
    ],
)
def test_an_id_says_what_the_series_is(labels: Labels, stream: str) -> None:
    """The name, then the other labels by name; nothing else where everything can be written."""
    assert stream_of(labels) == stream


@pytest.mark.parametrize(
    ("labels", "beginning"),
    [
        (labels_of(name="hits", path="/api/v1"), "hits/path:_api_v1"),
        (labels_of(name="hits", city="Zürich"), "hits/city:Z_rich"),
        (labels_of(name="_hidden"), "hidden"),
        (labels_of(name="£"), "series"),
        (tuple(sorted({"__name__": "m", "a.b": "c"}.items())), "m/a_b:c"),
    ],
)
def test_what_an_id_cannot_hold_is_told_by_the_fingerprint(labels: Labels, beginning: str) -> None:
    """The readable rest, and sixteen digits of the label set's fingerprint."""
    assert stream_of(labels) == f"{beginning}/.{fingerprint_of(labels).hex()[:16]}"


def test_an_id_has_200_characters_at_most() -> None:
    """At the limit it is written out; one past it, cut and told by the fingerprint."""
    fitting = labels_of(name="m", a="x" * (MAX_STREAM_ID_CHARS - len("m/a:")))
    longer = labels_of(name="m", a="x" * (MAX_STREAM_ID_CHARS - len("m/a:") + 1))
    assert stream_of(fitting) == "m/a:" + "x" * 196
    assert len(stream_of(longer)) == MAX_STREAM_ID_CHARS
    assert stream_of(longer).endswith("/." + fingerprint_of(longer).hex()[:16])


@pytest.mark.parametrize(
    ("template", "stream"),
    [
        ("{__name__}/{instance}", "up/db1"),
        ("team-a/{__name__}/{*}", "team-a/up/instance:db1/job:node"),
        ("{job}/{nothing}/{__name__}", "node/up"),
        ("{__name__}.{job}", "up.node"),
    ],
)
def test_a_template_says_what_an_id_is_made_of(template: str, stream: str) -> None:
    """Labels by name, the rest by {*}, text between; what a series does not have leaves no empty segment."""
    assert stream_of(labels_of(name="up", job="node", instance="db1"), template) == stream


@pytest.mark.parametrize("template", ["", "up", "{", "{}", "{a", "a}", "{a}}", "Zürich/{a}", "{a b", "{a} {b}"])
def test_a_template_that_cannot_be_followed_is_refused(template: str) -> None:
    """Before anything is served."""
    with pytest.raises(ValueError, match=r"\w"):
        Naming(template)


def test_a_stream_carries_the_labels_that_fit() -> None:
    """The name first, the fingerprint always; what is too long or too many is left out and never cut."""
    labels = labels_of(name="m", **{"k" * MAX_LABEL_KEY_CHARS: "v", "k" * (MAX_LABEL_KEY_CHARS + 1): "v"})
    labels += (("long", "v" * (MAX_LABEL_VALUE_CHARS + 1)), ("longest", "v" * MAX_LABEL_VALUE_CHARS))
    kept = Naming().name(labels, fingerprint_of(labels)).labels
    assert kept == {
        "__series__": fingerprint_of(labels).hex(),
        "__name__": "m",
        "k" * MAX_LABEL_KEY_CHARS: "v",
        "longest": "v" * MAX_LABEL_VALUE_CHARS,
    }
    many = labels_of(name="m", **{f"k{i:02}": "v" for i in range(MAX_LABELS)})
    kept = Naming().name(many, fingerprint_of(many)).labels
    assert len(kept) == MAX_LABELS
    assert kept["__name__"] == "m"


TEXTS = st.text(st.sampled_from("ab_:./-é{"), min_size=1, max_size=6)
LABEL_SETS = st.dictionaries(TEXTS, TEXTS, max_size=4).flatmap(
    lambda others: TEXTS.map(lambda name: tuple(sorted({**others, "__name__": name}.items())))
)


@given(LABEL_SETS, LABEL_SETS)
def test_two_label_sets_never_share_an_id(one: Labels, other: Labels) -> None:
    """And every id is one that a stream may have."""
    first, second = stream_of(one), stream_of(other)
    assert STREAM_ID.fullmatch(first)
    assert (first == second) == (one == other)


def test_the_fingerprint_takes_the_parts_apart() -> None:
    """Moving a character from one part to the next gives another one."""
    assert fingerprint_of((("a", "bc"),)) != fingerprint_of((("ab", "c"),))
    assert re.fullmatch("[0-9a-f]{32}", fingerprint_of((("a", "b"),)).hex())
