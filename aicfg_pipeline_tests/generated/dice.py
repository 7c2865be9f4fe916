"""Chance, by whole numbers only: a plain `random.Random`, or hypothesis' own, which shrinks what it has drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws. Small draws make small databases, so that a shrunk counterexample is a short one."""

    def __init__(self, source: random.Random) -> None:
        self._source = source

    def number(self, least: int, most: int) -> int:
        """Return a whole number, both ends included."""
        return least + self._source.randrange(most - least + 1)

    def chance(self, percent: int) -> bool:
        """Return true in so many of a hundred cases."""
        return self._source.randrange(100) >= 100 - percent

    def pick(self, options: Sequence[T]) -> T:
        """Return one of them."""
        return options[self._source.randrange(len(options))]

    def some(self, options: Sequence[T], most: int) -> list[T]:
        """Return up to `most` of them, each once, in their order."""
        wanted = self.number(0, min(most, len(options)))
        left = list(range(len(options)))
        taken = [left.pop(self._source.randrange(len(left))) for _ in range(wanted)]
        return [options[i] for i in sorted(taken)]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """Return them in another order."""
        left = list(options)
        return [left.pop(self._source.randrange(len(left))) for _ in range(len(left))]
