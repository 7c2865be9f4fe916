"""After the swap not every row is read again, but whatever is not as it was compared is found all the same."""

from __future__ import annotations

import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.tables.comparison import Comparison
from aicfg_pipeline.spec.model import Pair
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.restored import silently
from aicfg_pipeline_tests.tools.servers import Database

OLD, NEW = "org_prompt_engineering", "ai_cfg_org_prompts"
SHADOW, PARKED = f"aicfg_rollback.{OLD}", f"aicfg_rollback.{NEW}"
ONE = "id = (SELECT min(id::text)::uuid FROM {})"
DATA = ("row_count", "checksum", "rows")


def pair(run: Run) -> Pair:
    return run.migration.pair(OLD)


def seen(run: Run, *, just_proven: bool = True) -> tuple[Comparison, list[Check]]:
    on = verify.inspect(run.session, run.migration, just_proven=just_proven)
    checks = verify.run_checks(run.session, run.migration, only=[(OLD, n) for n in (*DATA, "references")], on=on)
    return on.comparison(pair(run)), checks


def failed(checks: list[Check]) -> set[str]:
    return {c.name for c in checks if c.failed}


def rolled_back(run: Run, database: Database, between: str) -> None:
    """A rollback; between comparison and swap somebody does something."""
    lifecycle.begin(run, "rollback")
    for each in run.migration.pairs:
        copy_back(run, each.old)
    compare(run)
    database.execute(between)
    cut_over(run)


@pytest.mark.every_version
def test_only_what_was_written_since_is_read_row_by_row(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        rolled_back(run, migrated_database, f"UPDATE {NEW} SET response_tone = 'casual' WHERE {ONE.format(NEW)}")
        migrated_database.execute(f"DELETE FROM {OLD} WHERE id = (SELECT max(id::text)::uuid FROM {OLD})")
        found, checks = seen(run)
    assert found.since is not None
    assert (found.since.looked_at, found.before.rows, found.after.rows) == (2, 40, 39)
    assert (found.differences.missing, found.differences.unexplained, failed(checks)) == (1, 0, set())


def test_the_job_verify_reads_all_of_it(cut_over_database: Database) -> None:
    with running(cut_over_database.url) as run:
        relying, _ = seen(run)
        complete, _ = seen(run, just_proven=False)
    assert relying.since is not None
    assert (complete.since, complete.before.checksum is None) == (None, False)


BETWEEN = {
    "a row of the shadow was changed": (
        f"UPDATE {SHADOW} SET citation_style = 'none' WHERE {ONE.format(SHADOW)}",
        {"checksum", "rows"},
    ),
    "a row of the shadow was lost": (f"DELETE FROM {SHADOW} WHERE {ONE.format(SHADOW)}", {"row_count"}),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_what_goes_wrong_between_the_comparison_and_the_swap_is_found(migrated_database: Database, what: str) -> None:
    statement, expected = BETWEEN[what]
    with running(migrated_database.url) as run:
        rolled_back(run, migrated_database, statement)
        found, checks = seen(run)
    assert (found.since, failed(checks)) == (None, expected)


PAST_THE_LOG = {
    "a row was changed": (
        OLD,
        f"UPDATE {OLD} SET citation_style = 'none' WHERE {ONE.format(OLD)}",
        {"checksum", "rows"},
    ),
    "a row was lost": (OLD, f"DELETE FROM {OLD} WHERE {ONE.format(OLD)}", {"row_count"}),
    "one row was lost and another came": (
        OLD,
        f"UPDATE {OLD} SET id = gen_random_uuid() WHERE {ONE.format(OLD)}",
        {"row_count"},
    ),
    "a parked row was changed": (
        PARKED,
        f"UPDATE {PARKED} SET citation_style = 'none' WHERE {ONE.format(PARKED)}",
        {"checksum", "rows"},
    ),
    "a parked row was lost": (PARKED, f"DELETE FROM {PARKED} WHERE {ONE.format(PARKED)}", {"row_count"}),
}


@pytest.mark.parametrize("what", PAST_THE_LOG)
def test_what_is_written_past_the_log_is_found(cut_over_database: Database, what: str) -> None:
    table, statement, expected = PAST_THE_LOG[what]
    if table == OLD:
        silently(cut_over_database.admin(), OLD, statement)
    else:
        cut_over_database.admin().execute(statement)
    with running(cut_over_database.url) as run:
        found, checks = seen(run)
    assert (found.since, failed(checks)) == (None, expected)


@pytest.mark.parametrize(
    "statement",
    [
        f"VACUUM FULL {OLD}",
        f"VACUUM FULL {PARKED}",
        f"ALTER TABLE {OLD} ADD COLUMN later text",
        "UPDATE aicfg_rollback.ledger SET facts = facts - 'compared'",
    ],
)
def test_another_file_other_columns_or_an_earlier_ledger_is_compared_as_a_whole(
    cut_over_database: Database, statement: str
) -> None:
    cut_over_database.execute(statement)
    with running(cut_over_database.url) as run:
        found, checks = seen(run)
    assert (found.since, failed(checks)) == (None, set())


def test_a_table_that_was_emptied_is_compared_as_a_whole(cut_over_database: Database) -> None:
    cut_over_database.execute(f"TRUNCATE {OLD}")
    with running(cut_over_database.url) as run:
        found, _ = seen(run)
    assert (found.since, found.after.rows, found.differences.unexplained) == (None, 0, 0)
