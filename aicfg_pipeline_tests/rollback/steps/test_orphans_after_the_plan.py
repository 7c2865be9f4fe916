"""A row that loses what it refers to between plan and swap, where the new table does not have the old table's key."""

from __future__ import annotations

import pytest

from aicfg_pipeline.errors import GateError
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over, settle
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database

ORPHAN = "SELECT org_id FROM ai_cfg_org_prompts ORDER BY id LIMIT 1"
NOT_VALID = (
    "SELECT count(*) FROM pg_constraint WHERE conrelid = 'public.org_prompt_engineering'::regclass AND NOT convalidated"
)


def swapped_with_an_orphan(database: Database, run: Run) -> str:
    """Roll back; meanwhile an organisation goes that only the old table's key would have kept. Returns what is said."""
    lifecycle.begin(run, "rollback")
    for pair in run.migration.pairs:
        copy_back(run, pair.old)
    database.execute(f"DELETE FROM orgs WHERE id = ({ORPHAN})")
    compare(run)
    with pytest.raises(GateError) as refused:
        cut_over(run)
    return str(refused.value)


@pytest.fixture
def without_key(migrated_database: Database) -> Database:
    ((name,),) = migrated_database.query(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'ai_cfg_org_prompts'::regclass AND confrelid = 'orgs'::regclass"
    )
    migrated_database.execute(f'ALTER TABLE ai_cfg_org_prompts DROP CONSTRAINT "{name}"')
    return migrated_database


def test_it_is_told_by_the_key_with_what_to_do_and_nothing_is_lost(without_key: Database) -> None:
    before = without_key.query("SELECT id FROM ai_cfg_org_prompts ORDER BY id")
    with running(without_key.url) as run:
        told = swapped_with_an_orphan(without_key, run)
    assert "org_prompt_engineering: the foreign key" in told
    assert "refer to nothing" in told
    assert "undo_rollback" in told
    assert without_key.query("SELECT id FROM org_prompt_engineering ORDER BY id") == before


def test_once_it_is_mended_the_next_run_validates(without_key: Database) -> None:
    with running(without_key.url) as run:
        swapped_with_an_orphan(without_key, run)
        without_key.execute(
            "DELETE FROM org_prompt_engineering p WHERE NOT EXISTS (SELECT FROM orgs o WHERE o.id = p.org_id)"
        )
        settle(run)
    assert without_key.query(NOT_VALID) == [(0,)]
