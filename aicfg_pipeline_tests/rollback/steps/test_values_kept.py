"""What undo and `migrate` would let go is told first, looked at once more before the swap, and kept (D2, D3, D4, L6)."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from aicfg_pipeline.errors import HazardError, PipelineError, StateError
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.hazards import Job, Subject, find_hazards
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

COLUMNS = "id integer NOT NULL, word text"


def told(database: Database, job: Job) -> list[tuple[str, object]]:
    """What the plan of a job says, as code and column."""
    with running(database.url) as run:
        found = find_hazards(Subject(run.session, run.migration, run.look(), run.settings, must_confirm=False), job)
    return [(h.code, h.facts.get("column")) for h in found]


def cut_over_pair(database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """A pair of these columns that is rolled back; nothing was in it."""
    set_up(database, folder, monkeypatch, old, new_columns=new)
    database.execute(f"DROP TABLE thing; CREATE TABLE new_thing ({new}, PRIMARY KEY (id))")
    with running(database.url) as run:
        roll_back(run)


def kept(database: Database, what: str) -> list[tuple[object, ...]]:
    return database.query(f"SELECT id, {what} FROM aicfg_rollback.superseded_1_thing ORDER BY id")


# --- undo ------------------------------------------------------------------------------------------------------


def test_d3_undo_tells_of_values_that_would_be_rounded_and_keeps_them_where_that_is_accepted(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were rounded, and the old table with the originals was dropped without an export."""
    old, new = f"{COLUMNS}, v numeric", f"{COLUMNS}, v integer"
    cut_over_pair(plain_database, tmp_path / "m", monkeypatch, old, new)
    plain_database.execute("INSERT INTO thing VALUES (1, 'a', 1.49), (2, 'b', 2)")
    assert told(plain_database, "undo_rollback") == [("values_change", "v")]
    with running(plain_database.url) as run, pytest.raises(StateError, match="In 1 row of thing there is a value in v"):
        undo_rollback(run)
    with running(plain_database.url, accept_hazards=("values_change",)) as run:
        undo_rollback(run)
    assert plain_database.query("SELECT id, v FROM new_thing ORDER BY id") == [(1, 1), (2, 2)]
    assert kept(plain_database, "v::text") == [(1, "1.49"), (2, "2")]
    with running(plain_database.url) as run:  # and it goes with the next drop, exported
        roll_back(run)
        drop_parked(run, tmp_path / "export")
    assert [p.name.split("-")[0] for p in (tmp_path / "export").glob("superseded_1_thing*.gz")] == [
        "superseded_1_thing"
    ]


def test_undo_of_lossless_types_drops_the_retired_table(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_over_pair(plain_database, tmp_path, monkeypatch, f"{COLUMNS}, v integer", f"{COLUMNS}, v numeric(10,2)")
    plain_database.execute("INSERT INTO thing VALUES (1, 'a', 7)")
    assert told(plain_database, "undo_rollback") == []
    with running(plain_database.url) as run:
        undo_rollback(run)
    assert plain_database.query("SELECT id, v::text FROM new_thing") == [(1, "7.00")]
    assert plain_database.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'aicfg_rollback'") == [(1,)]


def undo_while(database: Database, statement: str) -> PipelineError:
    """Undo, with a reader in the way who writes this when the undo waits for its locks; return what it says."""
    reader = database.connect()
    reader.execute("BEGIN; SELECT count(*) FROM thing")
    failed: list[PipelineError] = []

    def undo() -> None:
        try:
            with running(database.url) as run:
                undo_rollback(run)
        except PipelineError as error:
            failed.append(error)

    thread = threading.Thread(target=undo)
    thread.start()
    asked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    while thread.is_alive() and database.query(asked) == [(0,)]:
        time.sleep(0.01)
    reader.execute(f"{statement}; COMMIT")
    thread.join()
    (error,) = failed
    return error


def test_d4_value_written_into_a_column_without_a_place_while_the_undo_waits_for_its_locks_stops_it(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_over_pair(plain_database, tmp_path, monkeypatch, COLUMNS, COLUMNS)
    plain_database.execute("ALTER TABLE thing ADD COLUMN note text; INSERT INTO thing VALUES (1, 'a')")
    error = undo_while(plain_database, "UPDATE thing SET note = 'precious'")
    assert "a value was written into a column that has no place on the other side" in str(error)
    assert plain_database.query("SELECT note FROM public.thing") == [("precious",)]
    with running(plain_database.url, accept_hazards=("unmapped_column",)) as run:
        undo_rollback(run)
    assert plain_database.query("SELECT id, word FROM new_thing") == [(1, "a")]
    assert kept(plain_database, "note") == [(1, "precious")]


def test_d3_value_that_would_be_rounded_and_is_written_while_the_undo_waits_for_its_locks_stops_it(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_over_pair(plain_database, tmp_path, monkeypatch, f"{COLUMNS}, v numeric", f"{COLUMNS}, v integer")
    plain_database.execute("INSERT INTO thing VALUES (1, 'a', 7), (2, 'b', 8)")
    error = undo_while(plain_database, "UPDATE thing SET v = 1.49 WHERE id = 1")
    assert "a value was written that would be another one in the type of the other side" in str(error)
    assert plain_database.query("SELECT id, v::text FROM public.thing ORDER BY id") == [(1, "1.49"), (2, "8")]
    with running(plain_database.url, accept_hazards=("values_change",)) as run:
        undo_rollback(run)
    assert plain_database.query("SELECT id, v FROM new_thing ORDER BY id") == [(1, 1), (2, 8)]
    assert kept(plain_database, "v::text") == [(1, "1.49"), (2, "8")]


def test_o15_undo_tells_that_new_rows_have_no_value_where_the_new_table_must_have_one(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(plain_database, tmp_path, monkeypatch, COLUMNS)
    plain_database.execute(
        "DROP TABLE thing; CREATE TABLE new_thing (id integer PRIMARY KEY, word text, tone text NOT NULL);"
        "INSERT INTO new_thing VALUES (1, 'a', 'warm')"
    )
    with running(plain_database.url, accept_hazards=("unmapped_column",)) as run:
        roll_back(run)
    assert told(plain_database, "undo_rollback") == []
    plain_database.execute("INSERT INTO thing VALUES (2, 'b')")
    assert told(plain_database, "undo_rollback") == [("violates_not_null", "tone")]
    plain_database.execute("ALTER TABLE aicfg_rollback.new_thing ALTER COLUMN tone SET DEFAULT 'plain'")
    with running(plain_database.url) as run:
        undo_rollback(run)
    assert plain_database.query("SELECT id, tone FROM new_thing ORDER BY id") == [(1, "warm"), (2, "plain")]


def test_undo_without_its_log_is_told(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_over_pair(plain_database, tmp_path, monkeypatch, COLUMNS, COLUMNS)
    plain_database.execute("DROP TRIGGER aicfg_rollback_change_log ON thing")
    assert told(plain_database, "undo_rollback") == [("not_undoable", None)]


# --- migrate ---------------------------------------------------------------------------------------------------


def test_d2_migrate_refuses_a_column_without_a_place_and_keeps_the_table_where_that_is_accepted(
    old_database: Database,
) -> None:
    """It dropped the old table with the column: no hazard, no export."""
    old = "org_prompt_engineering"
    old_database.execute(f"ALTER TABLE {old} ADD COLUMN note text; UPDATE {old} SET note = 'n ' || id")
    before = old_database.query(f"SELECT id, note FROM {old} ORDER BY id")
    assert told(old_database, "migrate") == [("unmapped_column", "note")]
    dump = old_database.dump()
    with running(old_database.url) as run, pytest.raises(HazardError, match="note has values in 40 rows"):
        migrate(run)
    assert old_database.dump() == dump
    with running(old_database.url, accept_hazards=("unmapped_column",)) as run:
        migrate(run)
    assert old_database.query(f"SELECT id, note FROM aicfg_rollback.superseded_1_{old} ORDER BY id") == before
    assert old_database.query("SELECT count(*) FROM ai_cfg_org_prompts") == [(40,)]
    assert old_database.query(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'aicfg_rollback'::regnamespace"
    ) == [(0,)]
    with running(old_database.url) as run:  # what is kept is in nobody's way
        roll_back(run)
        undo_rollback(run)
    assert old_database.query(f"SELECT id, note FROM aicfg_rollback.superseded_1_{old} ORDER BY id") == before


def test_d2_migrate_judges_values_as_the_rollback_does(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = f"{COLUMNS}, v numeric", f"{COLUMNS}, v integer"
    set_up(plain_database, tmp_path, monkeypatch, old, "INSERT INTO thing VALUES (1, 'a', 1.5)", new_columns=new)
    assert told(plain_database, "migrate") == [("values_change", "v")]
    with running(plain_database.url, accept_hazards=("values_change",)) as run:
        migrate(run)
    assert kept(plain_database, "v::text") == [(1, "1.5")]


# --- L6: the rollback looks again before the swap --------------------------------------------------------------


@pytest.mark.parametrize("accepted", [(), ("unmapped_column",)], ids=["not_accepted", "accepted"])
def test_l6_column_that_came_while_the_table_was_copied_is_looked_at_before_the_swap(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accepted: tuple[str, ...]
) -> None:
    set_up(plain_database, tmp_path, monkeypatch, COLUMNS)
    plain_database.execute(
        "DROP TABLE thing; CREATE TABLE new_thing (id integer PRIMARY KEY, word text); INSERT INTO new_thing VALUES (1, 'a')"
    )
    with running(plain_database.url, accept_hazards=accepted) as run:
        lifecycle.begin(run, "rollback")
        copy_back(run, "thing")
        compare(run)
        plain_database.execute("ALTER TABLE new_thing ADD COLUMN late text; UPDATE new_thing SET late = 'x'")
        if accepted:
            cut_over(run)
        else:
            with pytest.raises(HazardError, match="late has values in 1 row "):
                cut_over(run)
    where = "aicfg_rollback" if accepted else "public"
    assert plain_database.query(f"SELECT late FROM {where}.new_thing") == [("x",)]
