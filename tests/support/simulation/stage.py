"""Who plays next: actors that give way to one another at named points, drawn from a seed.

An actor is a greenlet: a call with a stack of its own that goes on where it left off. Nothing else decides about the
order, so the same seed plays the same piece. An actor that is swept off the stage is left where it stands, as a
killed server's threads are: none of its `finally` is run while the piece lasts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from greenlet import getcurrent, greenlet


@dataclass(eq=False, slots=True)
class Actor:
    """Someone with a part; `until` is what it waits for, or None."""

    company: object
    name: str
    body: greenlet
    until: Callable[[], bool] | None = None
    is_over: bool = False


class Stage:
    """The actors, and the one that plays now.

    Attributes:
        turns: how many were played.
        ticks: a count that orders events finer than turns do.
    """

    def __init__(self, chance: random.Random, on_turn: Callable[[], None]) -> None:
        self.turns = 0
        self.ticks = 0
        self._chance = chance
        self._on_turn = on_turn
        self._actors: list[Actor] = []
        self._swept: list[Actor] = []
        self._absent: set[int] = set()
        self._director = getcurrent()
        self._playing: Actor | None = None

    def tick(self) -> int:
        """The next number."""
        self.ticks += 1
        return self.ticks

    def enter(self, company: object, name: str, part: Callable[[], None]) -> Actor:
        """A new actor, which begins at one of the next turns."""
        actor = Actor(company, name, greenlet(part, self._director))
        self._actors.append(actor)
        return actor

    def pause(self, until: Callable[[], bool] | None = None) -> None:
        """Let others play; the actor goes on at some turn at which `until` holds."""
        actor = self._playing
        assert actor is not None, "only actors give way"
        actor.until = until
        self._director.switch()

    def wait(self, until: Callable[[], bool]) -> None:
        """Give way only if what is waited for is not so already."""
        if not until():
            self.pause(until)

    def suspend(self, company: object) -> None:
        """None of them plays until they are called back."""
        self._absent.add(id(company))

    def call_back(self, company: object) -> None:
        """They play again."""
        self._absent.discard(id(company))

    def is_suspended(self, company: object) -> bool:
        """Whether they are kept from playing."""
        return id(company) in self._absent

    def sweep(self, company: object) -> None:
        """They are gone for good; does not return if the caller is one of them."""
        gone = [actor for actor in self._actors if actor.company is company]
        self._actors = [actor for actor in self._actors if actor.company is not company]
        self._swept += gone
        if self._playing in gone:
            self._leave()

    def play(self, until: Callable[[], bool], max_turns: int) -> bool:
        """Turn by turn until something holds; False once the turns are spent. Where all wait, only time passes."""
        for _ in range(max_turns):
            if until():
                return True
            self.turns += 1
            self._on_turn()
            actor = self._next()
            if actor is None:
                continue
            self._playing = actor
            actor.body.switch()
            self._playing = None
            if actor.body.dead:
                actor.is_over = True
                self._actors.remove(actor)
        return until()

    def waiting(self) -> list[str]:
        """Who is on the stage, for a piece that got stuck."""
        return [actor.name for actor in self._actors]

    def _next(self) -> Actor | None:
        actors = self._actors
        first = self._chance.randrange(len(actors)) if actors else 0
        for place in range(len(actors)):
            actor = actors[(first + place) % len(actors)]
            if id(actor.company) not in self._absent and (actor.until is None or actor.until()):
                return actor
        return None

    def _leave(self) -> NoReturn:
        self._director.switch()
        raise AssertionError("one that was swept off the stage was called")


class Turnstile:
    """A lock among actors, in place of a thread's."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._is_held = False

    def __enter__(self) -> None:
        self._stage.wait(lambda: not self._is_held)
        self._is_held = True

    def __exit__(self, *_: object) -> None:
        self._is_held = False
