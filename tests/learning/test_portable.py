"""The safetensors file of a model: the same bits back, and nothing damaged or hostile let in."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from uoro import limits
from uoro.domain import Model, Observation
from uoro.errors import CorruptRecord, InvalidImport
from uoro.learning.kernel.alone import seasons
from uoro.learning.kernel.alone.intervals import ERROR, LOW
from uoro.learning.kernel.numeric import paths
from uoro.learning.kernel.numeric import seasons as clock
from uoro.learning.kernel.numeric.intervals import CHANGE_BIN, SLOT
from uoro.learning.kernel.numeric.statistics import COUNT, MEAN, VARIANCE
from uoro.learning.kernel.symbols.state import (
    KNOWN,
    LENGTH,
    MATCH,
    NUM_FEATURES,
    NUM_KINDS,
    NUM_LENGTHS,
    NUM_ORDERS,
    NUM_TOTALS,
    POINTER,
    POSITION,
    STEP,
)
from uoro.learning.learner import STATE_VERSION, Learner
from uoro.learning.portable import MAX_FILE_BYTES, checksum, from_safetensors, to_safetensors
from uoro.learning.spec import StreamSpec

Change = Callable[[dict, dict], None]
"""What is done to the tensors and the metadata of a file."""

FIELDS = {
    "value": {"type": "number"},
    "kind": {"type": "category", "size": 4},
    "load": {"type": "number", "role": "input"},
}


def model_of(num: int = 50, **options: Any) -> Model:
    """A model that has seen `num` observations."""
    spec = StreamSpec.parse({"fields": FIELDS, "hidden_size": 3} | options)
    learner = Learner.new(spec)
    for i in range(num):
        x = {"value": float(i % 5), "kind": "äbcdefg"[i % 7], "load": 0.5 * i}
        learner.observe(Observation(x, t=1e9 + 1800 * i, is_calendar=True))
    return Model(spec.document(), {"team": "wind"}, is_frozen=True, state=learner.dump(), version=STATE_VERSION)


def header_of(file: bytes) -> dict:
    (length,) = struct.unpack("<Q", file[:8])
    return json.loads(file[8 : 8 + length])


def rewritten(file: bytes, change: Change) -> bytes:
    """The file after `change(tensors, metadata)`, with a checksum that fits again."""
    tensors = {name: tensor.copy() for name, tensor in load(file).items()}
    metadata = header_of(file)["__metadata__"]
    change(tensors, metadata)
    spec = StreamSpec.parse(json.loads(metadata["spec"]))
    block = Learner(spec).block
    for name, tensor in tensors.items():
        if name in block.views and block[name].shape == tensor.shape:
            block[name][...] = tensor
    metadata["crc32"] = checksum(metadata, block.dump())
    return save(tensors, metadata)


@pytest.mark.parametrize("num", [0, 1, 50])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"learner": {"name": "rtrl"}, "cell": "lstm"},
        {"cell": "lru"},
        {"cell": "lru", "aggregation": "none", "learner": {"name": "uoro", "rank": 2}},
        {"cell": "lru", "learner": {"name": "tbptt", "truncation": 7}},
        {"learner": {"name": "tbptt", "truncation": 7}, "season": 5},
        {"learner": {"name": "snap1"}, "optimizer": {"name": "sgd"}, "season": "none"},
        {"learner": {"name": "frozen"}, "cell": "linear", "aggregation": "none"},
    ],
)
def test_round_trip_is_exact(num: int, options: dict[str, Any]) -> None:
    """Any spec, at any time: the same model, and a learner that goes on alike."""
    model = model_of(num, **options)
    back = from_safetensors(to_safetensors(model))
    assert back == model
    spec = StreamSpec.parse(back.spec)
    one, other = Learner.load(spec, model.state), Learner.load(spec, back.state)
    observation = Observation({"value": 2.0, "kind": "b"})
    assert one.observe(observation) == other.observe(observation)
    assert one.dump() == other.dump()


def test_a_model_has_one_file() -> None:
    """The same model gives the same bytes, each time: files can be compared, and kept once."""
    assert len({to_safetensors(model_of()) for _ in range(10)}) == 1


def test_file_describes_itself() -> None:
    """Any safetensors reader sees what it is, and each part of the model by name."""
    file = to_safetensors(model_of())
    metadata = header_of(file)["__metadata__"]
    assert metadata["format"] == "uoro-stream"
    assert metadata["seq"] == "50"
    assert json.loads(metadata["labels"]) == {"team": "wind"}
    assert json.loads(metadata["spec"])["fields"]["kind"]["size"] == 4
    assert load(file)["core.theta"].dtype == np.float32


@pytest.mark.parametrize("file", [b"", b"\0" * 7, b"\xff" * 100, b"not a safetensors file at all" * 9])
def test_what_is_no_safetensors_file_is_refused(file: bytes) -> None:
    """Noise, an empty body, a huge claimed header."""
    with pytest.raises(InvalidImport):
        from_safetensors(file)


def test_a_foreign_safetensors_file_is_refused() -> None:
    """Without our metadata, or with another format's."""
    tensors = {"weight": np.zeros(3, np.float32)}
    for metadata in (None, {"format": "pt"}, {"format": "uoro-stream"}):
        with pytest.raises(InvalidImport):
            from_safetensors(save(tensors, metadata))


def test_a_file_over_the_limit_is_refused_before_it_is_read() -> None:
    """One byte over the limit."""
    with pytest.raises(InvalidImport, match="over the limit"):
        from_safetensors(bytes(MAX_FILE_BYTES + 1))


def test_deeply_nested_header_is_refused() -> None:
    """A header that would exhaust the parser's stack is one more InvalidImport."""
    header = b"[" * 200_000
    with pytest.raises(InvalidImport):
        from_safetensors(struct.pack("<Q", len(header)) + header)


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused_or_harmless(place: float, bit: int) -> None:
    """One flipped bit anywhere: InvalidImport, or, in the blanks that pad the header, the same model."""
    file = bytearray(FILE)
    file[int(place * len(file))] ^= 1 << bit
    try:
        model = from_safetensors(bytes(file))
    except InvalidImport:
        return
    assert model == MODEL


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_cut_off_file_is_refused(share: float) -> None:
    """However much of it is there."""
    with pytest.raises(InvalidImport):
        from_safetensors(FILE[: int(len(FILE) * share)])


def put(name: str, value: object, index: object = ...) -> Change:
    def change(tensors: dict, metadata: dict) -> None:
        tensors[name][index] = value

    return change


def tell(key: str, value: str) -> Change:
    def change(tensors: dict, metadata: dict) -> None:
        metadata[key] = value

    return change


def without(name: str) -> Change:
    def change(tensors: dict, metadata: dict) -> None:
        del tensors[name]

    return change


def replace(name: str, tensor: np.ndarray) -> Change:
    def change(tensors: dict, metadata: dict) -> None:
        tensors[name] = tensor

    return change


HOSTILE = {
    "NaN in theta": put("core.theta", np.nan, 0),
    "infinite readout": put("core.readout", np.inf),
    "negative second moment": put("cell_optimizer.square", -1.0),
    "negative seq": put("learner.seq", -5),
    "huge steps": put("core.steps", 2**62),
    "negative steps": put("core.steps", -1),
    "vocabulary longer than its size": put("encoder.num_known", 2**40),
    "negative vocabulary": put("encoder.num_known", -1),
    "word that is not UTF-8": put("encoder.words.kind", 0xFF, (0, slice(1, None))),
    "two equal words": put("encoder.words.kind", 0),
    "category out of range": put("encoder.category", 7),
    "infinite statistics": put("numbers.stats", np.inf),
    "two vocabularies": put("categories.kind.cursor", 3, KNOWN),
    "negative position": put("categories.kind.cursor", -1, POSITION),
    "negative step": put("categories.kind.cursor", -1, STEP),
    "repeat that lies ahead": put("categories.kind.cursor", 2**40, POINTER),
    "repeat of negative length": put("categories.kind.cursor", -1, LENGTH),
    "endless repeat": put("categories.kind.cursor", 2**40, LENGTH + 1),
    "symbol of the past out of range": put("categories.kind.history", 5, 3),
    "context beyond the pool": put("categories.kind.windows", 2**40, (0, 0)),
    "context before the pool": put("categories.kind.windows", -1, (3, 1)),
    "check out of range": put("categories.kind.checks", 2**30, 2),
    "owner without a count": put("categories.kind.pool", 1 << 6, 0),
    "count without an owner": put("categories.kind.pool", 1, 0),
    "more symbols than there are": put("categories.kind.numbers", 6, (0, 0)),
    "negative number of symbols": put("categories.kind.numbers", -1, (0, 0)),
    "symbol of a context out of range": put("categories.kind.symbols", 5, (0, 0)),
    "entry with foreign bits": put("categories.kind.entries", 255, (0, 0)),
    "confidence out of range": put("categories.kind.chosen", NUM_TOTALS * NUM_KINDS, 0),
    "length of a match out of range": put("categories.kind.chosen", NUM_LENGTHS, MATCH),
    "order out of range": put("categories.kind.chosen", NUM_ORDERS + 1, NUM_FEATURES),
    "newest symbol out of range": put("categories.kind.chosen", 5, NUM_FEATURES + 1),
    "negative bucket": put("categories.kind.chosen", -(2**40), 1),
    "negative tally": put("categories.kind.tallies", -1.0, (0, 0)),
    "hits of none": put("categories.kind.hits", 0.0),
    "no credit at all": put("categories.kind.credits", 0.0),
    "certain of everything": put("categories.kind.experts", 2.0),
    "infinite weight": put("categories.kind.by_symbol", np.inf, (0, 0)),
    "slot out of range": put("numbers.slots", 10_000),
    "place out of range": put("numbers.place", 10**6, 0),
    "period out of range": put("numbers.period", 10**6),
    "age of a path out of range": put("numbers.path_age", paths.LENGTH + 1),
    "bin out of range": put("numbers.memo", 1e9, (0, CHANGE_BIN)),
    "slot of an interval out of range": put("numbers.memo", 1e9, (0, SLOT)),
    "kept result with an unknown class": put("ring.rows", 1e9, (slice(None), slice(9, None))),
    "decimals out of range": put("grid.decimals", 400),
    "missing tensor": without("core.theta"),
    "unknown tensor": replace("core.extra", np.zeros(3)),
    "wrong shape": replace("core.theta", np.zeros(7, np.float32)),
    "wrong type": replace("core.theta", np.zeros(1, np.float64)),
    "another version": tell("state_version", "999"),
    "seq that disagrees": tell("seq", "51"),
    "labels that are no mapping": tell("labels", "[1]"),
    "labels that are no text": tell("labels", '{"a": 1}'),
    "too many labels": tell("labels", json.dumps({str(i): "" for i in range(limits.MAX_LABELS + 1)})),
    "too long a label": tell("labels", json.dumps({"a": "b" * (limits.MAX_LABEL_VALUE_CHARS + 1)})),
    "frozen in words": tell("is_frozen", '"yes"'),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_hostile_contents_are_refused(change: Change) -> None:
    """With a checksum that fits, so that only the check meant can refuse."""
    with pytest.raises(InvalidImport):
        from_safetensors(rewritten(FILE, change))


@pytest.mark.parametrize("index", [0, 5, 6], ids=["Re λ", "Im λ", "γ"])
def test_an_lru_outside_the_circle_is_refused(index: int) -> None:
    """|λ| or γ beyond 1 would make the state of the next steps grow without bound; its own file is taken."""
    file = to_safetensors(model_of(cell="lru"))
    from_safetensors(rewritten(file, put("core.x", 0.5)))
    with pytest.raises(InvalidImport, match="activations"):
        from_safetensors(rewritten(file, put("core.activations", 1.001, index)))


HOSTILE_ALONE = {
    "infinite mean": put("numbers.stats", np.inf, (0, MEAN)),
    "no mean": put("numbers.stats", np.nan, (0, MEAN)),
    "negative variance": put("numbers.stats", -1.0, (0, VARIANCE)),
    "negative count of values": put("numbers.stats", -1.0, (1, COUNT)),
    "infinite value in a slot": put("numbers.memory", np.inf, (0, 0, 3)),
    "negative error": put("numbers.errors", -1.0, (0, ERROR)),
    "no quantile": put("numbers.errors", np.nan, (0, LOW)),
    "too many slots": put("numbers.sizes", seasons.MAX_SLOTS + 1),
    "negative slots": put("numbers.sizes", -1),
    "no step": put("numbers.clock", np.nan, clock.STEP),
    "negative count of observations": put("numbers.clock", -1.0, seasons.COUNT),
    "count of observations beyond every integer": put("numbers.clock", 1e300, seasons.COUNT),
    "infinite time": put("numbers.clock", -np.inf, clock.NEWEST),
}


@pytest.mark.parametrize("season", ["auto", 5])
@pytest.mark.parametrize("change", HOSTILE_ALONE.values(), ids=HOSTILE_ALONE)
def test_hostile_contents_are_refused_of_the_core_alone(change: Change, season: str | int) -> None:
    """The same for aggregation "none"; untouched, the file is taken, with the most slots there may be as well."""
    file = to_safetensors(model_of(aggregation="none", season=season))
    for harmless in (put("numbers.sizes", seasons.MAX_SLOTS), put("numbers.clock", 2.0**53 - 1, seasons.COUNT)):
        from_safetensors(rewritten(file, harmless))
    with pytest.raises(InvalidImport):
        from_safetensors(rewritten(file, change))


@pytest.mark.parametrize(
    "spec",
    [
        "{",
        "[]",
        '{"fields": {}}',
        json.dumps({"fields": FIELDS, "hidden_size": 4}),
        json.dumps({"fields": FIELDS, "hidden_size": 256, "cell": "lstm", "learner": {"name": "rtrl"}}),
    ],
    ids=["no JSON", "no object", "no fields", "another size", "over the limit"],
)
def test_a_spec_that_does_not_fit_is_refused(spec: str) -> None:
    """The tensors are measured against the spec before any memory is taken for it."""
    tensors, metadata = load(FILE), header_of(FILE)["__metadata__"] | {"spec": spec}
    with pytest.raises(InvalidImport):
        from_safetensors(save(tensors, metadata))


def test_length_of_a_chunk_out_of_range_is_refused() -> None:
    """TBPTT's count of gathered steps is an index."""
    file = to_safetensors(model_of(learner={"name": "tbptt", "truncation": 7}))
    for length in (7.0, -1.0, 0.5):
        with pytest.raises(InvalidImport):
            from_safetensors(rewritten(file, put("estimator.length", length)))


def test_a_state_that_does_not_fit_its_spec_is_not_exported() -> None:
    """CorruptRecord, not a broken file."""
    model = model_of(5)
    with pytest.raises(CorruptRecord):
        to_safetensors(Model(model.spec, {}, is_frozen=False, state=model.state[:-1], version=STATE_VERSION))


MODEL = model_of()
FILE = to_safetensors(MODEL)
