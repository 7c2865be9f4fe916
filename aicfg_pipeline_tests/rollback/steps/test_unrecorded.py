"""A ledger that lost its rows (L3), and functions that the old file replaces for tables of others (L4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.errors import StateError
from aicfg_pipeline.rollback.hazards import Subject, find_hazards
from aicfg_pipeline.rollback.run import Settings
from aicfg_pipeline.rollback.steps.drop import drop_new_tables
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.rollback.steps.verify import run_checks
from aicfg_pipeline.store.folder import Folder
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

OLD = "org_prompt_engineering"
STAMP = "public.update_org_prompt_engineering_updated_at()"
COUNTING = (
    f"CREATE OR REPLACE FUNCTION {STAMP} RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
    " IF TG_TABLE_NAME = 'counted' THEN NEW.rev := OLD.rev + 1; ELSE NEW.updated_at := now(); END IF; RETURN NEW; END$$"
)
COUNTED = (
    "CREATE TABLE public.counted (id int, rev int DEFAULT 0); INSERT INTO public.counted VALUES (1);"
    f"CREATE TRIGGER count BEFORE UPDATE ON public.counted FOR EACH ROW EXECUTE FUNCTION {STAMP}"
)


def source(database: Database) -> str:
    return database.admin().execute(f"SELECT pg_get_functiondef('{STAMP}'::regprocedure)").fetchone()[0]


def test_a_parked_table_without_its_row_in_the_ledger_is_neither_undone_nor_dropped_and_verify_says_so(
    cut_over_database: Database, tmp_path: Path
) -> None:
    cut_over_database.execute(f"DELETE FROM aicfg_rollback.ledger WHERE pair = '{OLD}'")
    with running(cut_over_database.url) as run:
        with pytest.raises(StateError, match="no row of the cut-over"):
            undo_rollback(run)
        with pytest.raises(StateError, match="no row of the cut-over"):
            drop_new_tables(run, Folder(tmp_path), [], before_retention_ends=True)
        wrong = [c for c in run_checks(run.session, run.migration) if c.failed and c.severity == "ERROR"]
    assert [(c.pair, c.name) for c in wrong] == [(OLD, "new_table_kept")]
    assert "no row of the cut-over" in wrong[0].summary
    assert cut_over_database.exists("aicfg_rollback.ai_cfg_org_prompts") == "r"


def test_an_undo_without_the_ledgers_foreign_keys_is_refused_by_their_names(cut_over_database: Database) -> None:
    gone = (
        cut_over_database.admin()
        .execute(
            f"DELETE FROM aicfg_rollback.ledger WHERE pair = '{OLD}' AND outcome = 'foreign_key_taken_off'"
            " RETURNING facts ->> 'name'"
        )
        .fetchall()
    )
    with running(cut_over_database.url) as run, pytest.raises(StateError) as refused:
        undo_rollback(run)
    assert gone
    for (name,) in gone:
        assert name in str(refused.value)


def test_a_function_shared_with_another_table_is_a_hazard_that_may_be_accepted(migrated_database: Database) -> None:
    migrated_database.admin().execute(COUNTING)
    migrated_database.admin().execute(COUNTED)
    with running(migrated_database.url) as run:
        subject = Subject(run.session, run.migration, run.look(), Settings(), must_confirm=False)
        (hazard,) = [h for h in find_hazards(subject) if h.code == "shared_function"]
    assert "counted" in hazard.found
    assert STAMP in hazard.found
    assert hazard.blocks(())
    assert not hazard.blocks(("shared_function",))


def test_a_function_with_the_files_text_is_no_hazard(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        subject = Subject(run.session, run.migration, run.look(), Settings(), must_confirm=False)
        assert [h for h in find_hazards(subject) if h.code == "shared_function"] == []


def test_undo_puts_the_former_function_back(migrated_database: Database) -> None:
    migrated_database.execute(COUNTING)
    migrated_database.execute(COUNTED)
    before = source(migrated_database)
    with running(migrated_database.url, accept_hazards=("shared_function",)) as run:
        roll_back(run)
        assert source(migrated_database) != before
        undo_rollback(run)
    assert source(migrated_database) == before
    migrated_database.execute("UPDATE public.counted SET id = 2")
    assert migrated_database.admin().execute("SELECT rev FROM public.counted").fetchone() == (1,)


def test_undo_leaves_a_function_alone_that_was_changed_since(migrated_database: Database) -> None:
    migrated_database.execute(COUNTING)
    later = COUNTING.replace("OLD.rev + 1", "OLD.rev + 10")
    with running(migrated_database.url) as run:
        roll_back(run)
        migrated_database.execute(later)
        since = source(migrated_database)
        undo_rollback(run)
    assert source(migrated_database) == since
