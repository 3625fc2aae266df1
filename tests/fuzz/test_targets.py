"""The targets of the fuzzer without it: on the corpus, on mutations of it, and on bytes that hypothesis invents."""

from __future__ import annotations

import random
from collections.abc import Callable

import fuzz_targets
import pytest
from fuzz_targets import TARGETS, corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from uoro.errors import CorruptRecord

NUM_MUTATIONS = 100


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The bytes with a few of them changed, taken out, put in twice, or cut off."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(changed) + 1)
        end = min(len(changed), start + chance.choice([1, 1, 4, 16]))
        what = chance.randrange(4)
        if what == 0:
            changed[start:end] = bytes(chance.randrange(256) for _ in range(end - start))
        elif what == 1:
            del changed[start:end]
        elif what == 2:
            changed[start:start] = changed[start:end] * chance.randint(1, 5)
        elif chance.random() < 0.2:
            del changed[start:]
    return bytes(changed)


@pytest.mark.parametrize("name", TARGETS)
def test_corpus_and_its_mutations(name: str) -> None:
    """Each holds for what is right, and for what is nearly so."""
    chance = random.Random(name)
    seeds = corpus(name)
    for content in seeds:
        TARGETS[name](content)
    for _ in range(NUM_MUTATIONS):
        TARGETS[name](mutated(chance.choice(seeds), chance))


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    """Each holds for bytes that are nothing."""

    @settings(max_examples=50, deadline=None, database=None)
    @given(st.binary(max_size=200))
    def holds(content: bytes) -> None:
        TARGETS[name](content)

    holds()


def test_the_corpus_is_read() -> None:
    """The seeds are what they are meant to be: each record, payload and file of the corpus is accepted by a reader."""
    for content in corpus("payload"):
        assert any(accepts(decode, content) for decode in decoders())
    for content in corpus("model_file"):
        assert fuzz_targets.from_safetensors(content).spec["hidden_size"] == 2


def decoders() -> tuple[Callable[[bytes], object], ...]:
    """The readers of payloads."""
    return fuzz_targets.entries.decode, fuzz_targets.entries.decode_model, fuzz_targets.entries.decode_named


def accepts(decode: Callable[[bytes], object], content: bytes) -> bool:
    """Whether a reader takes bytes."""
    try:
        decode(content)
    except CorruptRecord:
        return False
    return True
