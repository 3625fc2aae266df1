"""What arbitrary bytes are given to, and what must hold whatever they are. One function each, and a seed corpus.

Ordinary tests run them on the corpus, on mutations of it and on what hypothesis invents; `make fuzz` lets atheris
look for bytes that reach new code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import msgspec

from uoro.api import observations
from uoro.api.observations import Body, read_json, read_lines
from uoro.domain import Model, Observation
from uoro.engine import entries
from uoro.engine.entries import Create, Delete, Freeze, Label, Learn, Load, Named
from uoro.errors import CorruptRecord, InvalidImport, RequestError
from uoro.learning.learner import STATE_VERSION, Learner
from uoro.learning.portable import from_safetensors, to_safetensors
from uoro.learning.spec import StreamSpec
from uoro.store import records
from uoro.store.protocol import LogRecord, Snapshot

SPEC = {"fields": {"v": {"type": "number"}}, "hidden_size": 2, "season": "none", "learner": {"name": "uoro", "rank": 1}}
MOST = 40


@cache
def model(num: int = 5) -> Model:
    """A small model that has seen something."""
    spec = StreamSpec.parse(SPEC)
    learner = Learner.new(spec)
    for i in range(num):
        learner.observe(Observation({"v": float(i)}))
    return Model(spec.document(), {"a": "b"}, is_frozen=False, state=learner.dump(), version=STATE_VERSION)


def record(content: bytes) -> None:
    """A record is what was written at its place, to the byte, or corrupt."""
    written: tuple[Callable[[], bytes], ...] = (
        lambda: records.encode_log_record(records.decode_log_record(content, 7)),
        lambda: records.encode_generation(records.decode_generation(content, "s")),
        lambda: records.encode_named("s", "n", records.decode_named(content, "s", "n")),
    )
    for again in written:
        try:
            assert again() == content
        except CorruptRecord:
            continue


def payload(content: bytes) -> None:
    """What is in a record is read to something that is written and read alike, or corrupt."""
    for decode in (entries.decode, entries.decode_model, entries.decode_named):
        try:
            found = decode(content)
        except CorruptRecord:
            continue
        assert msgspec.msgpack.encode(decode(entries.encode(found))) == msgspec.msgpack.encode(found)


def model_file(content: bytes) -> None:
    """A file is a model that comes back the same, or refused."""
    try:
        found = from_safetensors(content)
    except InvalidImport:
        return
    assert from_safetensors(to_safetensors(found)) == found


def model_state(content: bytes) -> None:
    """Bytes written over a state, under a checksum that fits: refused, or a model that predicts and learns on."""
    its = model()
    start = int.from_bytes(content[:2]) % len(its.state)
    patch = content[2 : 2 + len(its.state) - start]
    state = bytearray(its.state)
    state[start : start + len(patch)] = patch
    changed = Model(its.spec, its.labels, is_frozen=False, state=bytes(state), version=its.version)
    try:
        found = from_safetensors(to_safetensors(changed))
    except (InvalidImport, CorruptRecord):
        return
    learner = Learner.load(StreamSpec.parse(found.spec), found.state)
    for value in (1.0, -2.0):
        learner.observe(Observation({"v": value}))
    assert all(abs(its["v"].mean) <= 1e300 for its in learner.predict(3) or [])  # type: ignore[union-attr]


def lines(content: bytes) -> None:
    """NDJSON read in chunks is NDJSON read line by line, faults and their words included."""
    for stream in (None, "s"):
        assert _outcome(lambda named=stream: read_lines(content, named, MOST)) == _outcome(  # type: ignore[misc]
            lambda named=stream: _one_by_one(content, named)  # type: ignore[misc]
        )


def document(content: bytes) -> None:
    """JSON is observations or refused, nothing else; an array says what its members say by themselves."""
    found = _outcome(lambda: read_json(content, "s", MOST))
    try:
        members = json.loads(content)
    except (ValueError, RecursionError):
        return
    if not isinstance(members, list) or len(members) > MOST or not isinstance(found[0], list):
        return
    body = Body()
    for number, member in enumerate(members):
        body.add(observations._read_one(json.dumps(member).encode(), "s", f"member {number}"))
    assert found == _outcome(lambda: body)


def _one_by_one(content: bytes, stream: str | None) -> Body:
    numbered = [(i, line) for i, line in enumerate(content.split(b"\n"), 1) if line and not line.isspace()]
    observations._check_count(len(numbered), MOST)
    body = Body()
    for i, line in numbered:
        body.add(observations._read_one(line, stream, f"line {i}"))
    return body


def _outcome(read: Callable[[], Body]) -> tuple[object, object]:
    try:
        body = read()
    except RequestError as error:
        return type(error), str(error)
    refused = {place: (type(error), str(error), error.field) for place, error in body.refused.items()}
    return [(run.stream, list(run.observations), list(run.places)) for run in body.runs], refused


TARGETS: dict[str, Callable[[bytes], None]] = {
    "record": record,
    "payload": payload,
    "model_file": model_file,
    "model_state": model_state,
    "lines": lines,
    "document": document,
}


def corpus(name: str) -> list[bytes]:
    """Where the search begins: what is right, made by the code itself, and some that is nearly so."""
    its = model()
    learn = Learn("s", 1, [Observation({"v": 1.0}, t=5.0), Observation({"k": "a", "v": None})])
    log = [[Create("s", SPEC, {"a": "b"}), learn], [Label("s", {}), Freeze("s", True), Delete("s")], [Load("s", its)]]
    payloads = [*(entries.encode(each) for each in log), entries.encode(its), entries.encode(Named(3, 1e9, its))]
    if name == "record":
        logged = [records.encode_log_record(LogRecord(7, 3, content)) for content in (b"", *payloads[:2])]
        return [
            *logged,
            records.encode_generation(Snapshot("s", 9, payloads[3])),
            records.encode_named("s", "n", payloads[4]),
        ]
    if name == "payload":
        return payloads
    if name == "model_file":
        return [to_safetensors(its), to_safetensors(model(0))]
    if name == "model_state":
        return [b"", *(start.to_bytes(2) + b"\xff" * 8 for start in range(0, len(its.state), 64))]
    documents = [
        b'{"x":{"v":1}}',
        b'{"x":{"v":NaN},"t":"2026-01-31T12:00:00Z","seq":1}',
        b'{"stream":"s","x":{"k":"a"}}',
    ]
    if name == "lines":
        return [
            b"\n".join(documents),
            b"\r\n".join(documents),
            b'{"x":{"v":1}}],[{"x":{"v":2}}\n',
            b" \n\n{",
            b"\xff\n",
        ]
    return [*documents, b"[" + b",".join(documents[::2]) + b"]", b'[{"x":{"a":"\\ud800"}}]', b"[[[[", b"[1,null,{}]"]
