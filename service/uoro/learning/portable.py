"""A stream's whole model as one self-describing safetensors file, and back.

The tensors are the named parts of the learner's block; the metadata says what they are: format, state version,
spec, labels, whether the stream is frozen, how much it has seen, and a CRC of all of it. A file comes from
anywhere: everything is checked before memory is taken for it, and what comes out has predicted and learned once,
on a copy, before it is believed.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import TypeGuard, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from uoro import limits
from uoro.domain import Model, Observation, Value
from uoro.errors import CorruptRecord, InvalidImport, InvalidSpec
from uoro.learning.block import Block, Layout
from uoro.learning.learner import STATE_VERSION, Learner, plan_of
from uoro.learning.soundness import check
from uoro.learning.spec import StreamSpec

FORMAT = "uoro-stream"
MAX_HEADER_BYTES = 4 * 2**20
MAX_FILE_BYTES = limits.MAX_STREAM_STATE_BYTES + MAX_HEADER_BYTES
_DTYPES = {"f8": "F64", "f4": "F32", "i8": "I64", "u1": "U8", "u2": "U16", "u4": "U32"}


def to_safetensors(model: Model) -> bytes:
    """The file of a model. Raises CorruptRecord if its state does not fit its spec."""
    spec = StreamSpec.parse(model.spec)
    layout = plan_of(spec.model_dump_json()).layout
    block = Block(layout)
    block.restore(model.state)
    metadata = {
        "format": FORMAT,
        "state_version": str(model.version),
        "spec": json.dumps(spec.document()),
        "labels": json.dumps(model.labels),
        "is_frozen": json.dumps(model.is_frozen),
        "seq": str(int(block["learner.seq"][0])),
    }
    metadata["crc32"] = checksum(metadata, model.state)
    # An empty part has no bytes to carry.
    return _in_order(save({name: view for name, view in block.views.items() if view.size}, metadata))


def from_safetensors(file: bytes) -> Model:
    """The model in a file, bit for bit. Raises InvalidImport if the file is damaged, foreign or not sound."""
    try:
        return _read(file)
    except (CorruptRecord, InvalidSpec) as error:
        raise InvalidImport(f"the file holds no sound model: {error}") from error


def checksum(metadata: dict[str, str], state: bytes) -> str:
    """CRC-32 of everything but itself, in hexadecimal."""
    told = json.dumps({key: value for key, value in metadata.items() if key != "crc32"}, sort_keys=True)
    return f"{zlib.crc32(state, zlib.crc32(told.encode())):08x}"


def _in_order(file: bytes) -> bytes:
    """The same file with its header's members in order: the library writes them as chance has it."""
    (length,) = struct.unpack("<Q", file[:8])
    header = json.dumps(json.loads(file[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the tensors stay aligned
    return struct.pack("<Q", len(header)) + header + file[8 + length :]


def _read(file: bytes) -> Model:
    header = _header(file)
    metadata = header.pop("__metadata__", None)
    if not _is_text(metadata):
        raise InvalidImport("the file has no metadata: it was not exported by this service")
    if metadata.get("format") != FORMAT:
        raise InvalidImport(f"the file's format is {metadata.get('format')!r}, not {FORMAT!r}")
    if metadata.get("state_version") != str(STATE_VERSION):
        raise InvalidImport(f"the file's state version is {metadata.get('state_version')!r}, not {STATE_VERSION}")
    spec = StreamSpec.parse(_json(metadata, "spec"))
    labels, is_frozen = _labels(metadata), _json(metadata, "is_frozen")
    if not isinstance(is_frozen, bool):
        raise InvalidImport("is_frozen in the file's metadata is neither true nor false")
    layout = plan_of(spec.model_dump_json()).layout
    _check_tensors(header, layout)
    try:
        tensors = load(file)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InvalidImport(f"the file is not a safetensors file: {error}") from error
    block = Block(layout)
    for name, tensor in tensors.items():
        block[name][...] = tensor
    state = block.dump()
    if metadata.get("crc32") != checksum(metadata, state):
        raise InvalidImport("the file fails its checksum")
    if metadata.get("seq") != str(int(block["learner.seq"][0])):
        raise InvalidImport("the file's metadata and tensors disagree about seq")
    _try_out(spec, state)
    return Model(spec=spec.document(), labels=labels, is_frozen=is_frozen, state=state, version=STATE_VERSION)


def _header(file: bytes) -> dict[str, object]:
    """The JSON header of a safetensors file: 8 bytes of length, then a mapping by tensor name."""
    if len(file) > MAX_FILE_BYTES:
        raise InvalidImport(f"the file takes {len(file)} bytes, over the limit of {MAX_FILE_BYTES}")
    if len(file) < 8:
        raise InvalidImport("the file is too short to be a safetensors file")
    (length,) = struct.unpack("<Q", file[:8])
    if length > min(len(file) - 8, MAX_HEADER_BYTES):
        raise InvalidImport("the file is cut off, or is not a safetensors file")
    try:
        header = json.loads(file[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise InvalidImport("the file's header is not JSON") from error
    if not isinstance(header, dict):
        raise InvalidImport("the file's header is not a JSON object")
    return header


def _check_tensors(header: dict[str, object], layout: Layout) -> None:
    expected = {part.name: part for part, _ in layout.offsets if 0 not in part.shape}
    missing, unknown = expected.keys() - header.keys(), header.keys() - expected.keys()
    if missing or unknown:
        what, names = ("lacks", missing) if missing else ("has an unknown", unknown)
        raise InvalidImport(f"the file {what} tensor {min(names)!r} for its spec")
    for name, part in expected.items():
        tensor = header[name]
        if not isinstance(tensor, dict):
            raise InvalidImport(f"tensor {name!r} is not described as one")
        if tensor.get("dtype") != _DTYPES[part.dtype] or tensor.get("shape") != list(part.shape):
            raise InvalidImport(f"tensor {name!r} is not of the type and shape that the spec asks for")


def _try_out(spec: StreamSpec, state: bytes) -> None:
    """Raises CorruptRecord unless the state is one that a learner can go on from."""
    learner = Learner.load(spec, state)
    check(learner)
    # A state that passes every check by name may still be hostile; whatever it then does happens to a copy.
    try:
        with np.errstate(all="ignore"):
            learner.metrics()
            learner.results(limits.MAX_RECENT_RESULTS)
            learner.predict(2)
            learner.observe(_any_observation(spec))
            check(learner)
    except (ArithmeticError, LookupError, ValueError, RuntimeError) as error:
        raise CorruptRecord(f"the model cannot go on from this state: {error}") from error


def _any_observation(spec: StreamSpec) -> Observation:
    values: dict[str, Value] = {name: "?" if field.type == "category" else 0.0 for name, field in spec.fields.items()}
    return Observation(values)


def _labels(metadata: dict[str, str]) -> dict[str, str]:
    labels = _json(metadata, "labels")
    if not _is_text(labels) or len(labels) > limits.MAX_LABELS:
        raise InvalidImport("the labels in the file's metadata are no labels, or too many")
    for key, value in labels.items():
        if len(key) > limits.MAX_LABEL_KEY_CHARS or len(value) > limits.MAX_LABEL_VALUE_CHARS:
            raise InvalidImport("a label in the file's metadata is too long")
    return labels


def _json(metadata: dict[str, str], key: str) -> object:
    try:
        return cast("object", json.loads(metadata[key]))
    except (KeyError, ValueError, RecursionError) as error:
        raise InvalidImport(f"the file's metadata have no readable {key!r}") from error


def _is_text(value: object) -> TypeGuard[dict[str, str]]:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
