"""What tests of the plan share: plan without the run lock, see what the gate says, and that nothing has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from aicfg_pipeline.errors import HazardError
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.hazards import Hazard
from aicfg_pipeline.rollback.run import Run, Settings
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.rollback.steps.plan import Plan
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration
from aicfg_pipeline_tests.tools.servers import Database


@contextmanager
def unchanged(database: Database) -> Iterator[None]:
    """Hold the database against itself: structure and rows after the block are those before it."""
    before = database.schema_dump(), database.fingerprints()
    yield
    assert (database.schema_dump(), database.fingerprints()) == before


def planned(url: str, *, migration: Migration | None = None, must_confirm: bool = False, **settings: object) -> Plan:
    """Plan as the job `plan` does: on a connection of its own, without the run lock."""
    session = connect(url, "aicfg_pipeline plan")
    try:
        run = Run(session, migration or spec.load(), "plan", settings=Settings(**settings), say=lambda line: None)  # type: ignore[arg-type]
        return plan.make_plan(run, must_confirm=must_confirm)
    finally:
        session.close()


def refusal(found: Plan, accepted: Sequence[str] = ()) -> HazardError:
    """Return what the gate says to a plan that it must not let pass."""
    with pytest.raises(HazardError) as caught:
        plan.gate(found, accepted)
    return caught.value


def refused(
    database: Database, *, url: str | None = None, migration: Migration | None = None, **settings: object
) -> list[Hazard]:
    """Plan, see that the gate names every hazard that blocks and that nothing has changed; return those hazards."""
    with unchanged(database):
        found = planned(url or database.url, migration=migration, **settings)  # type: ignore[arg-type]
        error = refusal(found)
    hazards = [h for h in found.hazards if not h.informative]
    assert list(error.codes) == [h.code for h in hazards]
    for hazard in hazards:
        assert any(hazard.found in c and hazard.remedy in c for c in error.complaints)
    return hazards


def told(hazards: Sequence[Hazard]) -> list[tuple[str, str | None, str]]:
    """Return hazards as code, pair and text."""
    return [(h.code, h.pair, h.found) for h in hazards]
