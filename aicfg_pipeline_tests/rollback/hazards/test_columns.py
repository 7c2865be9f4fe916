"""No column of either side loses a value without a hazard that names it; what is lossless passes.

What is expected comes from the rows as they were before the run. The types' own judgement is in test_value_changes.py.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned, refused, told
from aicfg_pipeline_tests.tools.servers import Database

BOTH = "id integer NOT NULL, word text"


def side_by_side(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, *, new: str = BOTH, rows: str
) -> None:
    """An old table of the file's columns beside a new one: the migration copied what it knew and left the old one."""
    set_up(database, folder, monkeypatch, old, f"INSERT INTO thing {rows}", new_columns=new)
    database.execute(
        f"CREATE TABLE new_thing ({new}, PRIMARY KEY (id)); INSERT INTO new_thing SELECT id, word FROM thing"
    )


# --- D1: both tables stand -------------------------------------------------------------------------------------


def test_column_that_only_the_old_table_has_keeps_its_values_where_both_stand(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1: it was emptied in every row, with no hazard and a green verify."""
    columns = f"{BOTH}, legacy text, kind text NOT NULL DEFAULT 'plain'"
    rows = "VALUES (1, 'a', 'one', 'x'), (2, 'b', NULL, 'y')"
    side_by_side(plain_database, tmp_path, monkeypatch, columns, rows=rows)
    before = plain_database.query("SELECT id, word, legacy, kind FROM thing ORDER BY id")
    plain_database.execute("INSERT INTO new_thing VALUES (3, 'c')")
    assert [h.code for h in planned(plain_database.url).hazards] == ["coexisting_conflict"]
    with running(plain_database.url) as run:
        roll_back(run)
    after = plain_database.query("SELECT id, word, legacy, kind FROM thing ORDER BY id")
    assert after == [*before, (3, "c", None, "plain")]


def test_column_of_the_standing_old_table_that_is_in_no_file_is_named(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1: a column that someone has added by hand went the same way."""
    side_by_side(plain_database, tmp_path, monkeypatch, BOTH, rows="VALUES (1, 'a'), (2, 'b')")
    plain_database.execute("ALTER TABLE thing ADD COLUMN byhand text")
    assert planned(plain_database.url).hazards == ()
    plain_database.execute("UPDATE thing SET byhand = 'x' WHERE id = 2")
    hazards = refused(plain_database)
    found = "thing (the old table that still stands).byhand has values in 1 row and no place in thing."
    assert told(hazards) == [("unmapped_column", "thing", found)]


# --- a new column and its way back -----------------------------------------------------------------------------


def test_new_column_that_forth_fills_and_back_does_not_read_is_named_where_its_value_can_not_be_made_again(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = f"{BOTH}, loud text"
    set_up(
        plain_database, tmp_path, monkeypatch, BOTH, "INSERT INTO thing VALUES (1, 'a'), (2, 'b')",
        new_columns=new, pair={"forth": {"loud": "upper(word)"}},
    )  # fmt: skip
    migrate_forward(plain_database.url)
    assert planned(plain_database.url).hazards == ()
    plain_database.execute("UPDATE new_thing SET loud = 'OTHER' WHERE id = 2")
    hazards = refused(plain_database)
    assert [(h.code, h.facts["column"], h.facts["rows"]) for h in hazards] == [("unmapped_column", "loud", 1)]


def test_new_column_whose_old_namesake_is_generated_is_named_where_it_holds_something_else(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = f"{BOTH}, loud text GENERATED ALWAYS AS (upper(word)) STORED"
    set_up(
        plain_database, tmp_path, monkeypatch, old, "INSERT INTO thing VALUES (1, 'a'), (2, 'b')",
        new_columns=f"{BOTH}, loud text",
    )  # fmt: skip
    migrate_forward(plain_database.url)
    assert planned(plain_database.url).hazards == ()
    plain_database.execute("UPDATE new_thing SET loud = 'OTHER' WHERE id = 2")
    hazards = refused(plain_database)
    assert [(h.code, h.facts["column"], h.facts["rows"]) for h in hazards] == [("unmapped_column", "loud", 1)]


def test_new_column_that_must_have_a_value_is_named_with_what_it_means_for_an_undo(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O15: accepted, one insert after the cut-over made an undo impossible."""
    set_up(plain_database, tmp_path, monkeypatch, BOTH)
    migrate_forward(plain_database.url)
    plain_database.execute("ALTER TABLE new_thing ADD COLUMN tone text NOT NULL")
    (hazard,) = refused(plain_database)
    assert (hazard.code, hazard.facts["not_null"]) == ("unmapped_column", True)
    assert "from then on an undo is refused" in hazard.found
    assert "Give the column a default" in hazard.remedy


# --- B6: before the follow-up ----------------------------------------------------------------------------------


def test_b6_column_of_the_same_name_wins_and_the_plan_says_so(migrated_database: Database) -> None:
    """Only the first migration ran: `configured_by` is still in the new table. It was refused as type_mismatch."""
    migrated_database.execute(
        """DROP VIEW org_prompt_engineering;
        ALTER TABLE ai_cfg_org_prompts ADD COLUMN configured_by uuid REFERENCES auth.users (id);
        ALTER TABLE ai_cfg_org_prompts DISABLE TRIGGER USER;
        UPDATE ai_cfg_org_prompts SET configured_by = created_by;
        ALTER TABLE ai_cfg_org_prompts ENABLE TRIGGER USER;
        ALTER TABLE ai_cfg_org_prompts DROP COLUMN created_by, DROP COLUMN updated_by;
        CREATE VIEW org_prompt_engineering WITH (security_invoker) AS SELECT * FROM ai_cfg_org_prompts"""
    )
    before = migrated_database.query("SELECT id, configured_by FROM ai_cfg_org_prompts ORDER BY id")
    found = planned(migrated_database.url)
    plan.gate(found, ())
    assert [(h.code, h.facts) for h in found.hazards] == [
        ("expression_not_used", {"column": "configured_by", "missing": ["created_by", "updated_by"]})
    ]
    with running(migrated_database.url) as run:
        roll_back(run)
    assert migrated_database.query("SELECT id, configured_by FROM org_prompt_engineering ORDER BY id") == before


# --- by construction -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_every_column_of_either_side_reaches_the_other_or_is_named(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Random columns on both sides, with values or empty, both tables standing or only the new one."""
    dice = random.Random(seed)
    kinds = ("text", "integer", "numeric(6,1)", "boolean", "date")
    values = {"text": "'v'", "integer": "7", "numeric(6,1)": "1.5", "boolean": "true", "date": "'2026-01-02'"}
    extra = {f"c{i}": dice.choice(kinds) for i in range(6)}
    sides = {name: dice.choice(("file", "old", "new", "file and new", "file and old", "all")) for name in extra}
    coexisting = dice.random() < 0.6
    in_file = [n for n in extra if "file" in sides[n] or sides[n] == "all"]
    in_new = [n for n in extra if "new" in sides[n] or sides[n] == "all"]
    in_old = [*in_file, *(n for n in extra if sides[n] == "old")] if coexisting else []
    listed = lambda names: "".join(f", {n} {extra[n]}" for n in names)  # noqa: E731
    set_up(plain_database, tmp_path, monkeypatch, BOTH + listed(in_file), "DROP TABLE thing")
    tables = {"new_thing": in_new, **({"thing": in_old} if coexisting else {})}
    filled: dict[str, list[str]] = {}
    for table, names in tables.items():
        plain_database.execute(f"CREATE TABLE {table} ({BOTH}{listed(names)}, PRIMARY KEY (id))")
        filled[table] = [n for n in names if dice.random() < 0.7]
        columns = "".join(f", {n}" for n in filled[table])
        said = "".join(f", {values[extra[n]]}" for n in filled[table])
        plain_database.execute(f"INSERT INTO {table} (id, word{columns}) VALUES (1, 'a'{said})")
    found = planned(plain_database.url).hazards
    named = {h.facts["column"] for h in found if h.code == "unmapped_column"}
    assert named == {n for names in filled.values() for n in names if n not in in_file}
    with running(plain_database.url, accept_hazards=("unmapped_column",)) as run:
        roll_back(run)
    for name in in_file:
        sides_with_it = [t for t, names in tables.items() if name in names]
        (value,) = plain_database.query(f"SELECT {name} IS NOT NULL FROM thing")[0]
        # of two versions of one age the new table's wins; a column that one side does not have is the other's
        winner = "new_thing" if "new_thing" in sides_with_it else "thing"
        assert value == (name in filled.get(winner, []))
