"""The future of an operation, held to what the standard library's promises."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro.engine.promise import Promise

steps = st.lists(st.sampled_from(["call", "result", "fail", "result", "look"]), max_size=8)


def played(future: Future[int], script: list[str]) -> list[object]:
    """What a future tells when it is used like this."""
    told: list[object] = []
    future.set_running_or_notify_cancel()
    for number, step in enumerate(script):
        try:
            if step == "call":
                future.add_done_callback(lambda its, number=number: told.append((number, its.done())))
            elif step == "result":
                future.set_result(number)
            elif step == "fail":
                future.set_exception(KeyError(number))
            told.append((future.done(), future.running(), future.cancelled(), future.cancel()))
            told.append(repr(future.exception(timeout=0)))
            told.append(future.result(timeout=0))
        except (TimeoutError, InvalidStateError, KeyError) as error:
            told.append(type(error))
    return told


@given(steps)
def test_it_is_used_like_the_standard_one(script: list[str]) -> None:
    """Any calls, completions and looks: the same answers, the same errors, functions called at the same moments."""
    assert played(Promise(), script) == played(Future(), script)


def test_threads_wait_for_it() -> None:
    """Several wait, with and without a timeout; each gets the outcome."""
    promise: Promise[int] = Promise()
    found: list[int] = []
    waiting = [Thread(target=lambda its=its: found.append(promise.result(its))) for its in (None, 60.0, 60.0)]
    for thread in waiting:
        thread.start()
    promise.set_result(7)
    for thread in waiting:
        thread.join()
    assert found == [7, 7, 7]


def test_a_function_that_fails_hinders_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; the others are called and the outcome stands."""
    promise: Promise[int] = Promise()
    called: list[int] = []
    promise.add_done_callback(lambda _: called.append(1 // 0))
    promise.add_done_callback(lambda _: called.append(1))
    promise.set_result(7)
    assert (called, promise.result()) == ([1], 7)
    assert "ZeroDivisionError" in caplog.text
