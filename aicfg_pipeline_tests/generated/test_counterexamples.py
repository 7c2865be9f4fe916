"""Every counterexample that the generator has found is a small database here, and stays one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aicfg_pipeline_tests.generated.arena import Arena, arena
from aicfg_pipeline_tests.generated.counterexamples import CASES, Case
from aicfg_pipeline_tests.tools.servers import DEFAULT_VERSION


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with arena(DEFAULT_VERSION, tmp_path_factory.mktemp("generated")) as made:
        yield made


def _case(case: Case) -> object:
    waits = [pytest.mark.xfail(strict=True, reason=case.waits_for)] if case.waits_for else []
    return pytest.param(case, id=case.name.replace(" ", "_"), marks=waits)


@pytest.mark.parametrize("case", [_case(c) for c in CASES])
def test_a_small_database_goes_its_way(case: Case, place: Arena) -> None:
    outcome = place.tell(case.world)
    assert outcome.end == case.end
    assert set(case.told) <= set(outcome.hazards)
