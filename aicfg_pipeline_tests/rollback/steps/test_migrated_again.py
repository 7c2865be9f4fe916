"""Other SQL migrates again while the new tables are parked: a rollback goes on, and nothing of either is lost (B3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.rollback.steps.verify import run_checks
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.rollback.steps.test_plan_is_what_runs import plan_and_run
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

AS_BEFORE = "id, org_id, policy_mission_type, custom_system_prompt, custom_context_prompt, citation_style,"
AS_BEFORE += (
    " include_page_numbers, include_source_metadata, response_tone, max_response_length, created_at, updated_at"
)
ROWS = {
    "sys_rag": "INSERT INTO ai_cfg_sys_rag SELECT * FROM sys_rag",
    "org_prompt_engineering": f"INSERT INTO ai_cfg_org_prompts ({AS_BEFORE}, org_system_prompt, created_by, updated_by)"
    f" SELECT {AS_BEFORE}, org_system_prompt, configured_by, configured_by FROM org_prompt_engineering",
}


def migrate_by_hand(database: Database) -> None:
    """The migration's own SQL: new tables, rows, the old tables dropped with CASCADE, views."""
    for pair in spec.load().pairs:
        made = [s for block in pair.new_ddl.blocks.values() for s in block.statements]
        view = [s for block in pair.view_ddl.blocks.values() for s in block.statements]
        for statement in [*made, ROWS[pair.old], f"DROP TABLE {pair.old} CASCADE", *view]:
            database.execute(f"SET search_path = public, extensions; {statement}")


def states(database: Database) -> set[str]:
    session = connect(database.url, "look")
    try:
        return set(look(session, spec.load()).summary.values())
    finally:
        session.close()


def parked(database: Database) -> dict[str, tuple[int, int]]:
    """Every table of the private schema with its rows, but the ledger and the logs."""
    found = database.fingerprints(("aicfg_rollback",))
    return {k.removeprefix("aicfg_rollback."): v for k, v in found.items() if "ai_cfg" in k}


@pytest.fixture
def again(cut_over_database: Database) -> Database:
    migrate_by_hand(cut_over_database)
    return cut_over_database


def test_it_is_a_state_of_its_own_and_verify_says_so(again: Database) -> None:
    assert states(again) == {"migrated_again"}
    session = connect(again.url, "verify")
    found = {(c.name, c.pair): c for c in run_checks(session, spec.load())}
    session.close()
    assert found["new_tables_gone", "sys_rag"].failed
    left = found["nothing_left", "sys_rag"]
    assert left.failed
    assert "aicfg_rollback.ai_cfg_sys_rag" in left.summary


def test_a_rollback_goes_on_and_nothing_of_either_is_lost(cut_over_database: Database, tmp_path: Path) -> None:
    before, kept = cut_over_database.fingerprints(("public",)), parked(cut_over_database)
    migrate_by_hand(cut_over_database)
    with running(cut_over_database.url) as run:
        roll_back(run)
    assert states(cut_over_database) == {"cut_over"}
    after, now = cut_over_database.fingerprints(("public",)), parked(cut_over_database)
    assert {t: after[t] for t in ("public.sys_rag", "public.org_prompt_engineering")} == {
        t: before[t] for t in ("public.sys_rag", "public.org_prompt_engineering")
    }
    assert {k.removeprefix("superseded_1_"): v for k, v in now.items() if k.startswith("superseded_1_")} == kept
    with running(cut_over_database.url) as run:
        drop_parked(run, tmp_path)
    assert parked(cut_over_database) == {}
    exported = {f.name.split(".")[0] for f in tmp_path.rglob("*.copy.gz")}
    assert {n for n in exported if "superseded_1_" in n}
    left = "SELECT relname::text FROM pg_class WHERE relnamespace = 'aicfg_rollback'::regnamespace AND relkind IN ('r', 'v')"
    assert cut_over_database.query(left) == [("ledger",)]


def test_it_runs_what_its_plan_says(again: Database) -> None:
    plan_and_run(again, "rollback", roll_back)


def test_a_drop_exports_and_drops_what_was_parked_before_and_touches_nothing_else(
    again: Database, tmp_path: Path
) -> None:
    before, kept = again.fingerprints(("public",)), parked(again)
    with running(again.url) as run:
        drop_parked(run, tmp_path)
    assert states(again) == {"migrated"}
    assert again.fingerprints(("public",)) == before
    assert parked(again) == {}
    assert len(list(tmp_path.rglob("*.copy.gz"))) == len(kept)
