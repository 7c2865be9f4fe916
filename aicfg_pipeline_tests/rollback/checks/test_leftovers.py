"""What is left of an attempt, of another migration, or of a log that grows (O15, L6)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aicfg_pipeline.rollback.checks import leftovers
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.verify import gate, run_checks
from aicfg_pipeline_tests.tools.migration import drop_parked, running
from aicfg_pipeline_tests.tools.servers import Database

OLD = "org_prompt_engineering"


def check(database: Database, name: str, old: str = OLD) -> Check:
    with running(database.url) as run:
        return next(c for c in run_checks(run.session, run.migration) if (c.name, c.pair) == (name, old))


def begin(database: Database) -> None:
    with running(database.url) as run:
        copy_back(run, OLD)


def test_an_attempt_that_nobody_goes_on_with_is_told_with_the_size_of_its_log(migrated_database: Database) -> None:
    begin(migrated_database)
    found = check(migrated_database, "nothing_left")
    assert (found.outcome, found.severity) == ("failed", "WARN")
    for left in (
        "table org_prompt_engineering",
        "table change_log_org_prompt_engineering",
        "trigger aicfg_rollback_change_log on",
    ):
        assert left in found.summary
    assert "MiB" in found.summary
    assert check(migrated_database, "nothing_left", "sys_rag").passed


def test_triggers_that_stay_when_the_shadow_was_dropped_by_hand_are_told(migrated_database: Database) -> None:
    begin(migrated_database)
    migrated_database.execute(f"DROP TABLE aicfg_rollback.{OLD}")
    found = check(migrated_database, "nothing_left")
    assert found.failed
    assert "trigger aicfg_rollback_change_log_truncate" in found.summary


def test_a_log_larger_than_its_table_is_told(cut_over_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(cut_over_database, "log_size").passed
    monkeypatch.setattr(leftovers, "LARGE_LOG", 1)
    cut_over_database.execute(
        "INSERT INTO aicfg_rollback.change_log_org_prompt_engineering (id)"
        " SELECT gen_random_uuid() FROM generate_series(1, 20000)"
    )
    found = check(cut_over_database, "log_size")
    assert (found.outcome, found.severity) == ("failed", "WARN")
    assert "MiB" in found.summary


def test_what_another_migration_has_parked_fails_nothing(cut_over_database: Database, tmp_path: Path) -> None:
    """L6: the same database, seen with a migration that has only one of the two pairs."""
    with running(cut_over_database.url) as run:
        (mine,) = [p for p in run.migration.pairs if p.old == OLD]
        run.migration = replace(run.migration, pairs=(mine,))
        drop_parked(run, tmp_path)
        checks = run_checks(run.session, run.migration)
        gate(checks, remedy="")
        (left,) = [c for c in checks if c.name == "nothing_left"]
        assert left.passed, left
    assert cut_over_database.exists("aicfg_rollback.ai_cfg_sys_rag") == "r"


def test_what_nobody_knows_is_still_told_beside_another_migrations_tables(
    cut_over_database: Database, tmp_path: Path
) -> None:
    with running(cut_over_database.url) as run:
        (mine,) = [p for p in run.migration.pairs if p.old == OLD]
        run.migration = replace(run.migration, pairs=(mine,))
        drop_parked(run, tmp_path)
        cut_over_database.execute("CREATE TABLE aicfg_rollback.stray (id int)")
        (left,) = [c for c in run_checks(run.session, run.migration) if c.name == "nothing_left"]
    assert "table stray" in left.summary
    assert "sys_rag" not in left.summary
