"""Databases at random, each taken through rollback, undo, rollback and drop. By the thousand: `make generated`."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from aicfg_pipeline_tests.generated.arena import Arena, arena
from aicfg_pipeline_tests.generated.dice import Dice
from aicfg_pipeline_tests.generated.drawing import draw
from aicfg_pipeline_tests.generated.known import TOLD_NOW
from aicfg_pipeline_tests.generated.story import NotBuilt
from aicfg_pipeline_tests.generated.world import World
from aicfg_pipeline_tests.tools.servers import DEFAULT_VERSION

DATABASES = int(os.environ.get("AICFG_GENERATED", "25"))

worlds: st.SearchStrategy[World] = st.randoms(use_true_random=False).map(lambda source: draw(Dice(source), TOLD_NOW))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with arena(DEFAULT_VERSION, tmp_path_factory.mktemp("generated")) as made:
        yield made


@pytest.mark.slow
@settings(
    max_examples=DATABASES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a counterexample is made small by `simplify`, which knows what a world is
    suppress_health_check=list(HealthCheck),
)
@given(world=worlds)
def test_whatever_the_database_is_a_rollback_refuses_or_keeps_its_word(world: World, place: Arena) -> None:
    try:
        place.tell(world)
    except NotBuilt:
        assume(False)


def test_a_database_is_drawn_again_from_its_number() -> None:
    once, again = (draw(Dice(random.Random("1/7"))) for _ in range(2))
    assert once == again
