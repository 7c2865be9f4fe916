"""Undo and drop take all pairs or none, and are told of what stands in their way before anything is touched."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.errors import LockTimeoutError, StateError
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.steps import plan, verify
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

OLD, NEW = "org_prompt_engineering", "ai_cfg_org_prompts"


def states(database: Database) -> dict[str, str]:
    with running(database.url) as run:
        return dict(run.look().summary)


def hazards(database: Database, job: plan.Job, **settings: object) -> list[tuple[str, str | None]]:
    with running(database.url, **settings) as run:
        found = plan.make_plan(run, must_confirm=False, job=job).hazards
    return [(h.code, h.pair) for h in found if not h.informative]


def test_o7_drop_that_gets_one_lock_of_two_drops_nothing(cut_over_database: Database, tmp_path: Path) -> None:
    before = portrait(cut_over_database)
    with psycopg.connect(cut_over_database.url) as reader:
        reader.execute(f"SELECT count(*) FROM aicfg_rollback.{NEW}")
        with running(cut_over_database.url, lock_attempts=2) as run, pytest.raises(LockTimeoutError):
            drop_parked(run, tmp_path)
    assert set(states(cut_over_database).values()) == {State.CUT_OVER}
    assert differing(before, portrait(cut_over_database)) == []


def test_o7_undo_does_not_bring_back_half_of_the_pairs(cut_over_database: Database) -> None:
    """One parked table is gone, as an older version of the pipeline could leave it, or a person."""
    cut_over_database.execute("DROP VIEW aicfg_rollback.sys_rag; DROP TABLE aicfg_rollback.ai_cfg_sys_rag")
    before = portrait(cut_over_database)
    assert hazards(cut_over_database, "undo_rollback") == [("undo_in_part", "sys_rag")]
    with running(cut_over_database.url) as run, pytest.raises(StateError) as refused:
        undo_rollback(run)
    assert "sys_rag" in str(refused.value)
    assert differing(before, portrait(cut_over_database)) == []
    with running(cut_over_database.url, accept_hazards=("undo_in_part",)) as run:
        undo_rollback(run)
    assert states(cut_over_database)[OLD] == State.MIGRATED


@pytest.fixture
def with_dependents(cut_over_database: Database) -> Database:
    """Someone has made a view and a foreign key on the old table since the cut-over."""
    cut_over_database.execute(
        f"CREATE VIEW tones AS SELECT id, response_tone FROM {OLD};"
        f" CREATE TABLE remarks (id int PRIMARY KEY, prompt uuid REFERENCES {OLD} (id))"
    )
    return cut_over_database


def test_o5_undo_tells_before_anything_what_was_pointed_at_the_old_table(with_dependents: Database) -> None:
    before = portrait(with_dependents)
    assert hazards(with_dependents, "undo_rollback") == [("dependents", OLD)]
    with running(with_dependents.url) as run, pytest.raises(StateError) as refused:
        undo_rollback(run)
    assert "public.tones" in str(refused.value)
    assert "remarks_prompt_fkey" not in str(refused.value)  # it goes along
    assert differing(before, portrait(with_dependents)) == []


def test_o5_accepted_the_undo_comes_to_its_end_and_so_does_the_next_rollback(
    with_dependents: Database, tmp_path: Path
) -> None:
    rows = with_dependents.query("SELECT * FROM tones ORDER BY id")
    with running(with_dependents.url, accept_hazards=("dependents",)) as run:
        undo_rollback(run)
    assert set(states(with_dependents).values()) == {State.MIGRATED}
    assert with_dependents.query("SELECT * FROM tones ORDER BY id") == rows  # stale, as was told, and not broken
    with running(with_dependents.url) as run:
        roll_back(run)
        assert verify.failed(verify.run_checks(run.session, run.migration)) == []
    with_dependents.execute("DROP VIEW tones; DROP TABLE remarks")
    with running(with_dependents.url) as run:
        drop_parked(run, tmp_path)
    left = with_dependents.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'aicfg_rollback'::regnamespace AND relkind IN ('r', 'v')"
    )
    assert left == [("ledger",)]


def test_drop_has_a_plan_that_says_until_when_and_who_refers_to_it(cut_over_database: Database) -> None:
    kept = [("retained", "sys_rag"), ("retained", OLD)]
    assert hazards(cut_over_database, "drop_new_tables") == kept
    assert hazards(cut_over_database, "drop_new_tables", before_retention_ends=True) == []
    cut_over_database.execute(f"CREATE VIEW stale AS SELECT id FROM aicfg_rollback.{NEW}")
    assert hazards(cut_over_database, "drop_new_tables", before_retention_ends=True) == [("parked_in_use", None)]
