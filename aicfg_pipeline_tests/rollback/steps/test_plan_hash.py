"""What a plan's hash stands for: the same for what does the same in the same place, another one for anything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline_tests.tools.migration import prepared, running
from aicfg_pipeline_tests.tools.servers import Database


def hash_of(database: Database, *also: str, job: plan.Job = "rollback", **settings: object) -> str:
    with running(database.url, **settings) as run:
        return plan.make_plan(run, must_confirm=False, job=job, also=also).hash


def half_copied(run: Run) -> None:
    lifecycle.begin(run, "rollback")
    copy_back(run, run.migration.pairs[0].old)


def write_rows(database: Database) -> None:
    database.execute("UPDATE ai_cfg_org_prompts SET response_tone = 'casual'")


@pytest.mark.parametrize("do", [half_copied, prepared])
def test_it_is_the_same_however_far_an_attempt_has_got(migrated_database: Database, do: Callable[[Run], None]) -> None:
    before = hash_of(migrated_database)
    with running(migrated_database.url) as run:
        do(run)
    assert hash_of(migrated_database) == before


def test_rows_that_are_written_do_not_change_it(migrated_database: Database) -> None:
    before = hash_of(migrated_database)
    write_rows(migrated_database)
    assert hash_of(migrated_database) == before


def test_each_thing_that_would_be_done_otherwise_changes_it(migrated_database: Database) -> None:
    seen = {
        "as it is": hash_of(migrated_database),
        "dropped at the end": hash_of(migrated_database, retain_days=0),
        "undone for longer": hash_of(migrated_database, retain_days=30),
        "sessions of others ended": hash_of(migrated_database, terminate_blockers=True),
        "another hazard accepted": hash_of(migrated_database, accept_hazards=("dependents",)),
        "another service": hash_of(migrated_database, "deploys with ./deploy.sh"),
        "another job": hash_of(migrated_database, job="prepare"),
    }
    migrated_database.execute("ALTER TABLE ai_cfg_org_prompts ADD COLUMN note text")
    seen["another column"] = hash_of(migrated_database, accept_hazards=("unmapped_column",))
    assert len(set(seen.values())) == len(seen), seen


def test_a_restored_copy_is_another_place(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        here = plan.make_plan(run, must_confirm=False).meaning
    assert any(
        migrated_database.query("SELECT system_identifier::text FROM pg_control_system()")[0][0] in line
        for line in here
    )


def test_a_drop_before_the_retention_ends_is_another_plan_than_one_after(cut_over_database: Database) -> None:
    in_time = hash_of(cut_over_database, job="drop_new_tables")
    assert hash_of(cut_over_database, job="drop_new_tables", before_retention_ends=True) != in_time
