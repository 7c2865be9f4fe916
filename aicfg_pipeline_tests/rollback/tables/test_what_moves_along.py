"""O15: what belongs to a table and does not move with it by itself: extended statistics, functions of its triggers."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.rollback.steps.verify import run_checks
from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import drop_parked, migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

COLUMNS = "id integer NOT NULL, a integer, b integer, touched integer"
INSERT = "INSERT INTO thing SELECT i, i, i, 0 FROM generate_series(1, 20) i"
STATISTICS = "CREATE STATISTICS public.both_columns ON a, b FROM public.{};\n"
"""On two columns, of one name before and after, as a dump has it; the block `indexes` goes on."""
TRIGGERS = """
-- name: triggers -- a function without a schema
CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.touched = 1; RETURN NEW; END$$;
CREATE TRIGGER stamp BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION stamp();
"""
WHERE = """SELECT stxnamespace::regnamespace::text, stxname::text, relnamespace::regnamespace::text, relname::text
FROM pg_statistic_ext JOIN pg_class ON pg_class.oid = stxrelid ORDER BY 1, 2"""


def test_o15_extended_statistics_move_with_their_tables(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"old_more": STATISTICS.format("thing"), "new_more": STATISTICS.format("new_thing")}
    set_up(plain_database, tmp_path / "files", monkeypatch, COLUMNS, INSERT, **more)
    plain_database.execute("DROP STATISTICS both_columns")
    migrate_forward(plain_database.url)
    migrated = [("public", "both_columns", "public", "new_thing")]
    assert plain_database.query(WHERE) == migrated
    swapped = [
        ("aicfg_rollback", "both_columns", "aicfg_rollback", "new_thing"),
        ("public", "both_columns", "public", "thing"),
    ]
    with running(plain_database.url) as run:
        roll_back(run)
        assert plain_database.query(WHERE) == swapped
        undo_rollback(run)
        assert plain_database.query(WHERE) == migrated
        roll_back(run)
        drop_parked(run, tmp_path)
        assert plain_database.query(WHERE) == swapped[1:]
        assert {c.name for c in run_checks(run.session, run.migration) if c.failed} == set()
        plain_database.execute("ALTER STATISTICS both_columns SET SCHEMA aicfg_rollback")
        (left,) = [c for c in run_checks(run.session, run.migration) if c.name == "nothing_left"]
        assert (left.outcome, left.facts["found"]) == ("failed", ["statistics both_columns"])


def test_o15_a_trigger_function_that_the_file_makes_without_a_schema_stays_where_the_table_is_used(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(plain_database, tmp_path / "files", monkeypatch, COLUMNS, INSERT, old_more=TRIGGERS)
    migrate_forward(plain_database.url)
    plain_database.execute("DROP FUNCTION IF EXISTS stamp")
    with running(plain_database.url) as run:
        roll_back(run)
        drop_parked(run, tmp_path)
    plain_database.execute("UPDATE thing SET a = 0 WHERE id = 1")
    assert plain_database.query("SELECT touched FROM thing WHERE id = 1") == [(1,)]
    where = plain_database.query("SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname = 'stamp'")
    assert where == [("public",)]
