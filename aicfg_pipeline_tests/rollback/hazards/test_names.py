"""O1, B1: the plainest of migrations, a rename, goes back; a name that somebody else has is told before anything is copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database

COLUMNS = "id serial, said text UNIQUE"
FILL = "INSERT INTO thing (said) SELECT 'row ' || i FROM generate_series(1, 10) i"
RENAME = "ALTER TABLE thing RENAME TO new_thing"
VIEW = "CREATE VIEW thing AS SELECT * FROM new_thing"
NAMES = (
    "SELECT relname, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " AND relname !~ '^pg_' ORDER BY 1"
)
ROWS = "SELECT id, said FROM {} ORDER BY 1"


def names_told(database: Database) -> list[tuple[str, str]]:
    found = planned(database.url).hazards
    assert {h.code for h in found} <= {"name_taken", "old_table_kept_aside"}, found
    return sorted((h.facts["name"], h.facts["by"]) for h in found if h.code == "name_taken" and h.facts)


@pytest.mark.parametrize("view", [None, VIEW], ids=["no_view", "view"])
@pytest.mark.every_version
def test_o1_table_that_was_renamed_goes_back_forth_and_back_and_is_dropped(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str | None
) -> None:
    set_up(plain_database, tmp_path / "folder", monkeypatch, COLUMNS, FILL)
    old = plain_database.query(NAMES)
    plain_database.execute(f"{RENAME}; {view or 'SELECT 1'}")
    new, rows = plain_database.query(NAMES), plain_database.query(ROWS.format("new_thing"))
    assert [h for h in planned(plain_database.url).hazards if not h.informative] == []
    with running(plain_database.url) as run:
        roll_back(run)
        assert (plain_database.query(NAMES), plain_database.query(ROWS.format("thing"))) == (old, rows)
        lifecycle.begin(run, "undo_rollback")
        undo_rollback(run)
        assert (plain_database.query(NAMES), plain_database.query(ROWS.format("new_thing"))) == (new, rows)
        roll_back(run)
        drop_parked(run, tmp_path / "export")
    assert (plain_database.query(NAMES), plain_database.query(ROWS.format("thing"))) == (old, rows)


def test_b1_old_table_kept_aside_with_its_old_names_is_named(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(plain_database, tmp_path, monkeypatch, COLUMNS, FILL)
    plain_database.execute(
        "CREATE TABLE new_thing (LIKE thing INCLUDING ALL); INSERT INTO new_thing SELECT * FROM thing;"
        "ALTER TABLE thing RENAME TO thing_old"
    )
    assert names_told(plain_database) == [
        ("thing_id_seq", "the sequence thing_id_seq"),
        ("thing_pkey", "the index thing_pkey of public.thing_old"),
        ("thing_said_key", "the index thing_said_key of public.thing_old"),
    ]
    plain_database.execute(  # and with what the hazards advise, it goes back
        "ALTER SEQUENCE thing_id_seq RENAME TO thing_old_id_seq; ALTER INDEX thing_pkey RENAME TO thing_old_pkey;"
        "ALTER INDEX thing_said_key RENAME TO thing_old_said_key"
    )
    assert names_told(plain_database) == []


@pytest.mark.parametrize(
    ("statement", "name", "by"),
    [
        (
            "CREATE TABLE other (id integer); CREATE INDEX thing_pkey ON other (id)",
            "thing_pkey",
            "the index thing_pkey of public.other",
        ),
        ("CREATE SEQUENCE thing_pkey", "thing_pkey", "the sequence thing_pkey"),
        ("CREATE VIEW thing_said_key AS SELECT 1 AS one", "thing_said_key", "the view thing_said_key"),
        ("CREATE TYPE thing AS ENUM ('a')", "thing", "the type thing"),
        (
            "CREATE SCHEMA aicfg_rollback; CREATE TABLE aicfg_rollback.new_thing ()",
            "new_thing",
            "the table new_thing",
        ),
    ],
    ids=["index", "sequence", "view", "type", "private_schema"],
)
def test_b1_whatever_has_a_name_that_will_be_needed_is_named(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, name: str, by: str
) -> None:
    set_up(plain_database, tmp_path, monkeypatch, COLUMNS, FILL)
    plain_database.execute(
        f"{RENAME}; ALTER INDEX thing_pkey RENAME TO new_thing_pkey; ALTER INDEX thing_said_key RENAME TO new_thing_said_key;"
        f"{statement}"
    )
    assert names_told(plain_database) == [(name, by)]


def test_o1_swap_schema_that_exists_is_told(migrated_database: Database) -> None:
    migrated_database.execute("CREATE SCHEMA aicfg_rollback_swap")
    (found,) = [h for h in planned(migrated_database.url).hazards if not h.informative]
    assert (found.code, "aicfg_rollback_swap exists" in found.found) == ("name_taken", True)


def test_o13_old_table_of_another_rollback_is_told_and_its_log_stays(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """thing becomes middle, middle becomes last; the second is rolled back and parked, and then the first is planned."""
    set_up(plain_database, tmp_path / "first", monkeypatch, COLUMNS, FILL, new="middle")
    plain_database.execute("ALTER TABLE thing RENAME TO last")
    with pytest.MonkeyPatch.context() as second:
        from aicfg_pipeline_tests.tools.folders import write_folder

        write_folder(tmp_path / "second", "middle", "last", COLUMNS, name="second")
        second.setenv("AICFG_MIGRATION_DIR", str(tmp_path / "second"))
        with running(plain_database.url) as run:
            roll_back(run)
    triggers = "SELECT tgname, tgfoid::regproc::text FROM pg_trigger WHERE tgrelid = 'middle'::regclass ORDER BY 1"
    before = plain_database.query(triggers)
    found = [h for h in planned(plain_database.url).hazards if h.code == "in_use_elsewhere"]
    assert [h.facts for h in found] == [{"change_log": "change_log_middle", "migration": "the migration second"}]
    assert len(before) == 2
    assert plain_database.query(triggers) == before


def test_o15_trigger_function_of_another_role_is_told(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    function = "public.update_org_prompt_engineering_updated_at()"
    admin.execute(
        f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        f"ALTER FUNCTION {function} OWNER TO supabase_auth_admin"
    )
    found = [h for h in planned(migrated_database.url).hazards if h.code == "not_owner"]
    assert [h.found for h in found if "belongs to supabase_auth_admin" in h.found and function in h.found] != []


def test_o14_subscription_into_the_new_table_is_a_dependent(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    admin.execute(
        "CREATE SUBSCRIPTION incoming CONNECTION 'dbname=nowhere host=127.0.0.1 port=1' PUBLICATION them"
        " WITH (connect = false, slot_name = NONE)"
    )
    admin.execute("SET allow_system_table_mods = on")
    admin.execute(
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
        " SELECT oid, 'ai_cfg_org_prompts'::regclass, 'i' FROM pg_subscription WHERE subname = 'incoming'"
    )
    try:
        found = [h for h in planned(migrated_database.url).hazards if h.facts.get("kind") == "subscription"]
        assert [h.facts["name"] for h in found] == ["incoming into public.ai_cfg_org_prompts"]
        assert found[0].code == "dependents"
    finally:
        admin.execute("DROP SUBSCRIPTION incoming")
