"""The plan's statements are those that run: held against the ledger's record of what was executed, in order.

A statement that the plan shows as conditional may be missing from the ledger; nothing may be there that was not planned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.rollback.steps.plan import Job, Planned
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.rollback.steps.test_coexisting import let_coexist, make_them_differ
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

Done = Callable[[Run], object]
ALONE = ("VACUUM", "CREATE INDEX CONCURRENTLY", "CREATE UNIQUE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY")
"""What the server wants outside any transaction, and so outside any of the ledger's."""

NOT_NOTED = ("COMMIT", *ALONE, "INSERT INTO aicfg_rollback.ledger")


def planned(run: Run, job: Job) -> list[Planned]:
    """Every statement of the plan that the ledger has to have, too."""
    statements = plan.make_plan(run, must_confirm=False, job=job).statements
    return [s for s in statements if not s.sql.startswith(NOT_NOTED) and s.step not in ("run", "verify")]


def executed(database: Database, since: int) -> list[str]:
    rows = database.query(
        "SELECT statements FROM aicfg_rollback.ledger WHERE id > %s AND step NOT IN ('run', 'verify') ORDER BY id",
        (since,),
    )
    return [s["sql"] for (statements,) in rows for s in statements]


def agree(wanted: Iterable[Planned], ran: list[str]) -> None:
    """Walk both lists at once, in all ways that leave out conditional statements, and only those."""
    places = {0}
    for statement in wanted:
        text = " ".join(statement.sql.split())
        following = {p + 1 for p in places if p < len(ran) and ran[p] == text}
        reached = max(places)
        places = following | (places if statement.provided else set())
        there = ran[reached][:300] if reached < len(ran) else "nothing more"
        assert places, f"planned, and did not run: {text[:300]}\nran instead: {there}"
    assert len(ran) in places, f"ran, and was not planned: {ran[max(places)][:300]}"


def last_row(database: Database) -> int:
    there = database.query("SELECT to_regclass('aicfg_rollback.ledger') IS NOT NULL")[0][0]
    return int(database.query("SELECT coalesce(max(id), 0) FROM aicfg_rollback.ledger")[0][0]) if there else 0


def plan_and_run(database: Database, job: Job, do: Done, **settings: object) -> None:
    with running(database.url, **settings) as run:
        wanted = planned(run, job)
        assert wanted
        since = last_row(database)
        do(run)
    agree(wanted, executed(database, since))


def undo(run: Run) -> None:
    lifecycle.begin(run, "undo_rollback")
    undo_rollback(run)


@pytest.mark.every_version
def test_rollback_undo_rollback_and_drop_run_what_their_plans_say(migrated_database: Database, tmp_path: Path) -> None:
    plan_and_run(migrated_database, "rollback", roll_back)
    plan_and_run(migrated_database, "undo_rollback", undo)
    plan_and_run(migrated_database, "rollback", roll_back)
    plan_and_run(migrated_database, "drop_new_tables", lambda run: drop_parked(run, tmp_path))
    plan_and_run(migrated_database, "migrate", migrate)


def test_rollback_that_drops_at_its_end_has_that_in_its_plan(migrated_database: Database, tmp_path: Path) -> None:
    def all_of_it(run: Run) -> None:
        roll_back(run)
        drop_parked(run, tmp_path)

    plan_and_run(migrated_database, "rollback", all_of_it, retain_days=0)


def test_migrate_runs_what_its_plan_says(old_database: Database) -> None:
    plan_and_run(old_database, "migrate", migrate)


def test_what_was_written_meanwhile_is_replayed_as_planned(migrated_database: Database) -> None:
    first = "(SELECT min(id::text)::uuid FROM ai_cfg_org_prompts)"
    touch = f"UPDATE ai_cfg_org_prompts SET response_tone = 'casual' WHERE id = {first}"

    def with_a_write(run: Run) -> None:
        for pair in run.migration.pairs:
            copy_back(run, pair.old)
        migrated_database.execute(touch)
        compare(run)
        cut_over(run)

    def begun(run: Run) -> None:
        lifecycle.begin(run, "rollback")
        with_a_write(run)

    plan_and_run(migrated_database, "rollback", begun)
    migrated_database.execute(touch.replace("ai_cfg_org_prompts", "org_prompt_engineering"))
    plan_and_run(migrated_database, "undo_rollback", undo)


@pytest.mark.parametrize("pairs_copied", [1, 2])
def test_rollback_that_goes_on_plans_what_is_left(migrated_database: Database, pairs_copied: int) -> None:
    with running(migrated_database.url) as run:
        lifecycle.begin(run, "rollback")
        for pair in run.migration.pairs[:pairs_copied]:
            copy_back(run, pair.old)
    plan_and_run(migrated_database, "rollback", roll_back)


def test_where_both_tables_coexist_the_merge_is_in_the_plans(migrated_database: Database) -> None:
    let_coexist(migrated_database)
    make_them_differ(migrated_database)
    plan_and_run(migrated_database, "rollback", roll_back, accept_hazards=("coexisting_conflict",))
    plan_and_run(migrated_database, "undo_rollback", undo)
