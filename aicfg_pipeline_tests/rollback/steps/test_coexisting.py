"""What the runbook believes: the old tables still stand beside the new ones, each with rows of its own.

Merged by key: the later version wins, a row of one side is kept; what is superseded is parked, never dropped. And the
variant in which the migration kept the old table under another name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aicfg_pipeline.errors import GateError, HazardError
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.rollback.steps.abandon import abandon
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.rollback.tables import swap as swapping
from aicfg_pipeline.rollback.tables.ddl import run_blocks
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database
from aicfg_pipeline_tests.tools.writers import Writers

OLD, NEW = "org_prompt_engineering", "ai_cfg_org_prompts"
BLOCKS = ("table", "indexes", "foreign_keys", "validate", "triggers", "row_level_security", "grants", "comments")
STYLES = {"old_later": "footnote", "new_later": "endnote", "only_old": "footnote", "only_new": "endnote"}


def let_coexist(database: Database, old: str = OLD) -> None:
    """Replace the view by the old table with the same rows: a migration that copied and forgot the old table."""
    with running(database.url) as run:
        pair = run.migration.pair(old)
        with run.session.transaction(search_path=("public", "extensions")) as session:
            session.execute(f"DROP VIEW {old}")
            run_blocks(session, pair.old_ddl, *BLOCKS)
    names = ", ".join(
        c
        for (c,) in database.query(
            f"SELECT attname::text FROM pg_attribute WHERE attrelid = '{old}'::regclass AND attnum > 0"
        )
    )
    back = names.replace("configured_by", "coalesce(updated_by, created_by)")
    new = NEW if old == OLD else "ai_cfg_sys_rag"
    database.execute(f"INSERT INTO {old} ({names}) SELECT {back} FROM {new}")


def make_them_differ(database: Database) -> dict[str, Any]:
    """One row for each kind of difference. Returns their keys by kind, and those that are the same in both."""
    later, newer, only_old, only_new, *same = [k for (k,) in database.query(f"SELECT id FROM {NEW} ORDER BY id")]
    database.execute(
        f"""BEGIN;
        ALTER TABLE {OLD} DISABLE TRIGGER USER; ALTER TABLE {NEW} DISABLE TRIGGER USER;
        UPDATE {OLD} SET citation_style = 'footnote', updated_at = '2026-02-02' WHERE id = '{later}';
        UPDATE {NEW} SET citation_style = 'inline', updated_at = '2026-02-01' WHERE id = '{later}';
        UPDATE {OLD} SET citation_style = 'inline', updated_at = '2026-02-01' WHERE id = '{newer}';
        UPDATE {NEW} SET citation_style = 'endnote', updated_at = '2026-02-02' WHERE id = '{newer}';
        UPDATE {OLD} SET citation_style = 'footnote' WHERE id = '{only_old}';
        DELETE FROM {NEW} WHERE id = '{only_old}';
        UPDATE {NEW} SET citation_style = 'endnote' WHERE id = '{only_new}';
        DELETE FROM {OLD} WHERE id = '{only_new}';
        ALTER TABLE {OLD} ENABLE TRIGGER USER; ALTER TABLE {NEW} ENABLE TRIGGER USER;
        COMMIT"""
    )
    return {"old_later": later, "new_later": newer, "only_old": only_old, "only_new": only_new, "same": same}


def styles(database: Database, table: str, kinds: dict[str, Any]) -> dict[str, str]:
    found = dict(database.query(f"SELECT id, citation_style FROM {table}"))
    return {kind: found[key] for kind, key in kinds.items() if kind != "same" and key in found}


@pytest.fixture
def coexisting(migrated_database: Database) -> Database:
    """The prompts' old table stands beside the new one; the settings have a view as usual."""
    let_coexist(migrated_database)
    return migrated_database


@pytest.mark.every_version
def test_both_are_merged_and_the_superseded_one_is_parked(coexisting: Database, tmp_path: Path) -> None:
    kinds = make_them_differ(coexisting)
    before = coexisting.query(f"SELECT * FROM {OLD} ORDER BY id")
    with running(coexisting.url) as run:
        assert run.look()[OLD].state == State.COEXISTING
        roll_back(run)
    assert styles(coexisting, OLD, kinds) == STYLES
    assert coexisting.query(f"SELECT count(*) FROM {OLD}") == [(len(kinds["same"]) + 4,)]
    assert coexisting.query(f"SELECT * FROM aicfg_rollback.{OLD} ORDER BY id") == before
    with running(coexisting.url) as run:
        drop_parked(run, tmp_path)
        assert run.look()[OLD].state == State.ROLLED_BACK
    names = {p.name.split("-")[0] for p in tmp_path.glob("*.copy.gz")}
    assert names == {OLD, NEW, "ai_cfg_sys_rag"}
    assert [
        r[0]
        for r in coexisting.query(
            "SELECT relname FROM pg_class WHERE relnamespace = 'aicfg_rollback'::regnamespace AND relkind IN ('r', 'v')"
        )
    ] == ["ledger"]


def test_the_plan_counts_what_would_be_merged_and_wants_it_accepted(coexisting: Database) -> None:
    kinds = make_them_differ(coexisting)
    with running(coexisting.url) as run:
        made = plan.make_plan(run, must_confirm=False)
        found = {h.code: h for h in made.hazards}["coexisting_conflict"]
        assert found.acceptable
        counted = {k: n for k, n in found.facts["kinds"].items() if k != "same"}
        assert counted == {"old_is_later": 1, "new_is_later": 1, "only_in_old": 1, "only_in_new": 1}
        assert [str(kinds["old_later"])] in found.facts["samples"]["old_is_later"]
        with pytest.raises(HazardError, match="coexisting_conflict"):
            plan.gate(made, [])
        plan.gate(made, ["coexisting_conflict"])


@pytest.mark.two_versions
def test_undo_keeps_the_merged_rows_and_both_that_were_merged(coexisting: Database, tmp_path: Path) -> None:
    kinds = make_them_differ(coexisting)
    creator = coexisting.query("SELECT id FROM auth.users ORDER BY id LIMIT 1")[0][0]
    coexisting.execute(
        f"ALTER TABLE {NEW} DISABLE TRIGGER USER; UPDATE {NEW} SET created_by = '{creator}';"
        f" ALTER TABLE {NEW} ENABLE TRIGGER USER"
    )
    old_rows = coexisting.query(f"SELECT * FROM {OLD} ORDER BY id")
    loser = coexisting.query(f"SELECT * FROM {NEW} WHERE id = '{kinds['old_later']}'")
    with running(coexisting.url) as run:
        roll_back(run)
    written = kinds["same"][0]
    coexisting.execute(f"UPDATE {OLD} SET citation_style = 'none' WHERE id = '{written}'")
    with running(coexisting.url) as run:
        undo_rollback(run)
        assert run.look().summary == {"sys_rag": State.MIGRATED, OLD: State.MIGRATED}
        done = run.look().ledger.last("undo", pair=OLD, outcome="done")
    assert done is not None
    assert done.facts["kept"] == [f"superseded_1_{NEW}", f"superseded_1_{OLD}"]
    assert styles(coexisting, NEW, kinds) == STYLES
    assert styles(coexisting, NEW, {"x": written}) == {"x": "none"}
    assert coexisting.query(f"SELECT * FROM aicfg_rollback.superseded_1_{OLD} ORDER BY id") == old_rows
    assert loser[0] in coexisting.query(f"SELECT * FROM aicfg_rollback.superseded_1_{NEW}")
    created = dict(coexisting.query(f"SELECT id, created_by FROM {NEW}"))
    assert {v for k, v in created.items() if k != kinds["only_old"]} == {creator}
    assert coexisting.exists(f"public.{OLD}") == "v"

    for _ in range(2):  # there and back again: nothing of what was kept is in the way
        with running(coexisting.url) as run:
            roll_back(run)
        assert styles(coexisting, OLD, kinds) == STYLES
        with running(coexisting.url) as run:
            undo_rollback(run)
    with running(coexisting.url) as run:
        roll_back(run)
        drop_parked(run, tmp_path)
    names = {p.name.split("-")[0] for p in tmp_path.glob("*.copy.gz")}
    assert {f"superseded_1_{NEW}", f"superseded_1_{OLD}"} <= names
    left = coexisting.query(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'aicfg_rollback'::regnamespace"
        " AND relkind IN ('r', 'v')"
    )
    assert left == [("ledger",)]


def test_both_tables_are_written_to_while_they_are_merged(coexisting: Database) -> None:
    """The writers write the old table; the new one changes under the copy as well."""
    make_them_differ(coexisting)
    new_only = coexisting.query("INSERT INTO orgs (name) VALUES ('late') RETURNING id")[0][0]
    with Writers(coexisting.url) as writers, running(coexisting.url) as run:
        coexisting.execute(f"INSERT INTO {NEW} (org_id, citation_style) VALUES ('{new_only}', 'endnote')")
        roll_back(run)
        writers.wait_for(100)
        undo_rollback(run)
        writers.wait_for(50)
    assert writers.errors == []
    with coexisting.connect() as connection:
        assert writers.verify(connection) == []
    assert coexisting.query(f"SELECT citation_style FROM {NEW} WHERE org_id = '{new_only}'") == [("endnote",)]


def test_a_single_row_with_two_ids_is_a_conflict_and_not_an_error(migrated_database: Database) -> None:
    let_coexist(migrated_database, "sys_rag")
    migrated_database.execute("UPDATE sys_rag SET id = gen_random_uuid()")
    before = portrait(migrated_database)
    with running(migrated_database.url) as run:
        made = plan.make_plan(run, must_confirm=False)
        with pytest.raises(HazardError) as raised:
            plan.gate(made, ["coexisting_conflict"])
    assert "more_than_one_row" in raised.value.codes
    ids = [str(r[0]) for t in ("sys_rag", "ai_cfg_sys_rag") for r in migrated_database.query(f"SELECT id FROM {t}")]
    assert all(i in str(raised.value) for i in ids)
    assert differing(before, portrait(migrated_database)) == []


@pytest.mark.two_versions
def test_an_old_table_kept_under_another_name_is_left_alone(migrated_database: Database, tmp_path: Path) -> None:
    migrated_database.execute(
        f"CREATE TABLE {OLD}_old (id uuid, note text); INSERT INTO {OLD}_old VALUES (NULL, 'keep me')"
    )
    with running(migrated_database.url) as run:
        aside = run.look()[OLD].kept_aside
        assert aside is not None
        assert aside.name == f"{OLD}_old"
        roll_back(run)
        undo_rollback(run)
        roll_back(run)
        drop_parked(run, tmp_path)
    assert migrated_database.query(f"SELECT note FROM {OLD}_old") == [("keep me",)]


# --- rows that stop fitting ------------------------------------------------------------------------------------

RENAMED_KEY = f"UPDATE {NEW} SET id = gen_random_uuid() WHERE id = (SELECT id FROM {NEW} ORDER BY id LIMIT 1)"


def rolled_back(database: Database, acts: dict[str, Callable[[], None]]) -> None:
    """Roll back; at these moments something else happens."""
    with running(database.url) as run:
        lifecycle.begin(run, "rollback")
        acts.get("before the copy", bool)()
        for pair in run.migration.pairs:
            copy_back(run, pair.old)
        acts.get("after the copy", bool)()
        compare(run)
        cut_over(run)


@pytest.mark.parametrize("moment", ["before the copy", "after the copy", "under the locks"])
def test_a_key_renamed_beside_the_old_table_is_told_and_nothing_changes(
    coexisting: Database, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The old table still has the row under its old key: the two do not go together, and the server's bare error said so."""
    before, renamed = coexisting.schema_dump(OLD, NEW), iter([RENAMED_KEY])

    def rename() -> None:
        for statement in renamed:
            coexisting.execute(statement)

    if moment == "under the locks":
        look_again = swapping._Ahead.clear
        monkeypatch.setattr(swapping._Ahead, "clear", lambda ahead: (look_again(ahead), rename()))
    with pytest.raises(GateError, match=f"{OLD}.*: a row does not fit into") as told:
        rolled_back(coexisting, {moment: rename})
    assert "(SQLSTATE 23505)" in str(told.value)
    assert "violates_unique" in {h.code for h in planned(coexisting.url).hazards}
    with running(coexisting.url) as run:
        abandon(run)
    assert coexisting.schema_dump(OLD, NEW) == before
