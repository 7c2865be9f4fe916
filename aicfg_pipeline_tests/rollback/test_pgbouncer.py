"""Through a real PgBouncer: transaction mode is refused with nothing touched, session mode works from plan to undo."""

from __future__ import annotations

import pytest

from aicfg_pipeline.errors import HazardError, UnreachableError
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.pgbouncer import PROGRAM, WHY_NOT, pgbouncer
from aicfg_pipeline_tests.tools.planning import planned, refusal, unchanged
from aicfg_pipeline_tests.tools.servers import Database

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


def test_transaction_mode_is_refused_by_the_plan(migrated_database: Database) -> None:
    with pgbouncer(migrated_database, "transaction") as url, unchanged(migrated_database):
        assert refusal(planned(url)).codes == ("pooled_connection",)


def test_transaction_mode_is_refused_by_a_run(migrated_database: Database) -> None:
    with pgbouncer(migrated_database, "transaction") as url, unchanged(migrated_database):
        with pytest.raises(HazardError) as caught, running(url) as run:
            roll_back(run)
        assert caught.value.codes == ("pooled_connection",)


def test_session_mode_goes_from_plan_to_rollback_to_undo(migrated_database: Database) -> None:
    rows = migrated_database.fingerprints(("public", "auth"))
    with pgbouncer(migrated_database, "session", size=2) as url:  # B8: two are enough
        assert planned(url).hazards == ()
        with running(url) as run:
            roll_back(run)
        assert migrated_database.exists("public.sys_rag") == "r"
        with running(url, run_id="undo") as run:
            undo_rollback(run)
            assert {s.state for s in run.look().pairs} == {State.MIGRATED}
    assert migrated_database.fingerprints(("public", "auth")) == rows


def test_b8_a_session_pooler_with_one_connection_is_told_by_the_plan_and_not_waited_for(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicfg_pipeline.postgres.session.FIRST_ANSWER_SECONDS", 1.0)
    with pgbouncer(migrated_database, "session", size=1) as url:
        (hazard,) = planned(url).hazards
        assert hazard.code == "too_few_connections"
        assert hazard.facts == {"needed": 2}
        with pytest.raises(UnreachableError) as caught, running(url):
            pass
        assert "a run needs two at a time" in str(caught.value)
