"""Giving a rollback up before the cut-over: nothing of it stays but the ledger, and nobody notices."""

from __future__ import annotations

import pytest

from aicfg_pipeline.errors import StateError
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps.abandon import abandon
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline_tests.rollback.steps.test_plan_is_what_runs import plan_and_run
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

PAIRS = ["sys_rag", "org_prompt_engineering"]


def begin(database: Database) -> None:
    """Both shadows are there, nothing is compared yet."""
    with running(database.url) as run:
        lifecycle.begin(run, "rollback")
        for pair in run.migration.pairs:
            copy_back(run, pair.old)


def given_up(database: Database) -> list[str]:
    with running(database.url) as run:
        lifecycle.begin(run, "abandon")
        return abandon(run)


@pytest.mark.every_version
def test_o15_nothing_of_it_stays_but_the_ledger(migrated_database: Database) -> None:
    before = portrait(migrated_database)
    begin(migrated_database)
    assert given_up(migrated_database) == PAIRS
    left = [line for line in differing(before, portrait(migrated_database)) if "aicfg_rollback.ledger" not in line]
    assert left == []


def test_writers_are_not_logged_any_more(migrated_database: Database) -> None:
    begin(migrated_database)
    given_up(migrated_database)
    triggers = "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'aicfg%'"
    assert migrated_database.query(triggers) == []


def test_it_runs_what_its_plan_says(migrated_database: Database) -> None:
    begin(migrated_database)
    plan_and_run(migrated_database, "abandon", abandon)


def test_where_there_is_nothing_to_give_up_nothing_happens(migrated_database: Database) -> None:
    assert given_up(migrated_database) == []


def test_a_rollback_can_begin_again(migrated_database: Database) -> None:
    begin(migrated_database)
    given_up(migrated_database)
    with running(migrated_database.url) as run:
        roll_back(run)


def test_what_is_cut_over_is_not_given_up_but_undone(cut_over_database: Database) -> None:
    before = portrait(cut_over_database)
    with running(cut_over_database.url) as run, pytest.raises(StateError) as refused:
        abandon(run)
    assert "undo_rollback" in str(refused.value)
    assert differing(before, portrait(cut_over_database)) == []


def test_shadow_that_is_out_of_date_is_planned_to_be_made_anew(migrated_database: Database) -> None:
    begin(migrated_database)
    migrated_database.execute("ALTER TABLE ai_cfg_org_prompts ADD COLUMN note text")
    plan_and_run(migrated_database, "rollback", roll_back)
