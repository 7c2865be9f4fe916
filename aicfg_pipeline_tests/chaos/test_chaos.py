"""A minute's worth of chaos with a fixed seed: nothing is lost. `make chaos` runs it for longer and with any seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline_tests.chaos.chaos import Chaos, arena

SECONDS, SEED = 25.0, 20261326  # every kind of fault is in its first two histories


@pytest.mark.slow
def test_nothing_is_lost(tmp_path: Path) -> None:
    with arena(tmp_path) as database:
        outcome = Chaos(database, tmp_path, SEED, dagster=0.0).run(SECONDS)
    assert outcome.problems == []
    assert outcome.lost == 0
    assert outcome.acknowledged > 1_000
    assert sum(outcome.faults.values()) >= 3, "a run without faults proves nothing"
