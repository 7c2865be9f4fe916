"""`inspect`: from a live database to a folder; what it can't know is said, what it can't use is refused, nothing is changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration
from aicfg_pipeline_tests.tools.command_line import Said, call
from aicfg_pipeline_tests.tools.planning import planned, unchanged
from aicfg_pipeline_tests.tools.servers import Database, Server, fill_old

DEFINED = ("CREATE", "ALTER", "GRANT", "REVOKE", "COMMENT")


def inspected(database: Database, monkeypatch: pytest.MonkeyPatch, out: Path, *words: object) -> Said:
    with unchanged(database):
        return call(monkeypatch, database.url, "inspect", "--out", out, *words)


# --- the demo --------------------------------------------------------------------------------------------------


def engine_statements(url: str, migration: Migration) -> list[tuple[str, str | None, str]]:
    """What a plan does, without what the files say: their statements are compared by what they make."""
    plan = planned(url, migration=migration)
    assert [h.code for h in plan.hazards if not h.informative] == []
    return [
        (s.step, s.pair, " ".join(s.sql.split()))
        for s in plan.statements
        if not re.match(r"(old|new|views)/\S+, ", s.why) and "FOREIGN KEY" not in s.sql and "VALIDATE" not in s.sql
    ]


def test_folder_of_the_demo_plans_what_the_hand_written_one_plans(
    migrated_database: Database, running_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with running_server.database("old", fill_old) as before:
        words = ("--before", before.url, "--name", "ai_config_tables", "--rename", "sys_rag:ai_cfg_sys_rag")
        said = inspected(migrated_database, monkeypatch, tmp_path / "made", *words)
    assert (said.status, said.err) == (0, "")
    made, by_hand = spec.load(tmp_path / "made"), spec.load()
    assert call(monkeypatch, migrated_database.url, "check", tmp_path / "made").status == 0
    of = {p.old: p for p in made.pairs}
    assert {p.old: (p.new, p.key, p.changed_at, p.single_row, p.back, p.forth, p.keep) for p in by_hand.pairs} == {
        o: (p.new, p.key, p.changed_at, p.single_row, p.back, p.forth, p.keep) for o, p in of.items()
    }
    for pair in by_hand.pairs:
        assert set(pair.old_ddl.foreign_keys) == set(of[pair.old].old_ddl.foreign_keys)
    ours = [s for s in engine_statements(migrated_database.url, made) if s[2].split()[0] not in DEFINED]
    hands = [s for s in engine_statements(migrated_database.url, by_hand) if s[2].split()[0] not in DEFINED]
    assert sorted(ours, key=str) == sorted(hands, key=str)
    assert "configured_by comes from coalesce(updated_by, created_by): of one type, and nothing else fits" in said.out


def test_without_a_database_of_before_the_old_file_is_the_new_table_with_its_names_mapped_back(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = inspected(migrated_database, monkeypatch, tmp_path / "made")
    old = (tmp_path / "made" / "old" / "sys_rag.sql").read_text()
    assert "INFERRED" in old
    assert "ai_cfg_sys_rag" not in old.split("\n\n", 1)[1]
    assert "ADD CONSTRAINT sys_rag_pkey PRIMARY KEY (id)" in old
    assert "old/sys_rag.sql is ai_cfg_sys_rag as it is now, with the names mapped back" in said.out
    assert said.out.splitlines()[-1].strip() == f"python -m aicfg_pipeline check {tmp_path / 'made'}"
    assert call(monkeypatch, migrated_database.url, "check", tmp_path / "made").status == 0
    assert yaml.safe_load((tmp_path / "made" / "migration.yaml").read_text())["personas"] == [
        {"name": "authenticated", "role": "authenticated"}
    ]


# --- shapes ----------------------------------------------------------------------------------------------------

TABLES = """
CREATE TABLE user_profiles (id int PRIMARY KEY, said text, mail text);
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES user_profiles (id));
CREATE VIEW joining AS SELECT o.id, p.said FROM orders o JOIN user_profiles p ON p.id = o.user_id;
CREATE VIEW computing AS SELECT id, upper(said) AS said, mail FROM user_profiles;
CREATE VIEW few AS SELECT * FROM user_profiles WHERE id > 3;
CREATE VIEW part AS SELECT id, said FROM user_profiles;
"""


def test_view_that_does_more_than_give_an_old_name_is_no_pair_and_it_is_said_why(
    plain_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain_database.execute(TABLES)
    said = inspected(plain_database, monkeypatch, tmp_path / "made")
    assert (said.status, (tmp_path / "made").exists()) == (1, False)
    assert "No pair was found in schema public. Nothing was written." in said.err
    for line in (
        "view joining: it reads 2 tables, so it joins or is no table's other name",
        "view computing: it computes said",
        "view few: it does not show every row as it is (WHERE)",
        "view part: it does not show mail of user_profiles; if it is its old name, say so: --rename part:user_profiles",
    ):
        assert f"  - {line}\n" in said.err


def test_rename_that_is_named_needs_no_view(
    plain_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain_database.execute(TABLES)
    said = inspected(plain_database, monkeypatch, tmp_path / "made", "--rename", "profiles:user_profiles")
    assert said.status == 0
    assert yaml.safe_load((tmp_path / "made" / "migration.yaml").read_text())["pairs"] == {"profiles": "user_profiles"}
    assert spec.load(tmp_path / "made").pairs[0].view_ddl is None


def test_old_table_that_stands_beside_the_new_one_is_the_source_of_its_file(
    plain_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain_database.execute(TABLES + "CREATE TABLE profiles (id int PRIMARY KEY, said text, post text);")
    said = inspected(plain_database, monkeypatch, tmp_path / "made", "--rename", "profiles:user_profiles")
    pair = spec.load(tmp_path / "made").pairs[0]
    assert (dict(pair.back), dict(pair.forth)) == ({"post": "mail"}, {"mail": "post"})
    assert "INFERRED" not in (tmp_path / "made" / "old" / "profiles.sql").read_text()
    assert "post comes from mail: of one type, and nothing else fits" in said.out


def test_old_table_that_is_kept_aside_is_the_source_of_its_file(
    plain_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A renamed table keeps the names of its indexes: those are the old ones already."""
    plain_database.execute(
        "CREATE TABLE profiles (id int PRIMARY KEY, said text UNIQUE, parent int REFERENCES profiles (id));"
        "ALTER TABLE profiles RENAME TO profiles_old;"
        "CREATE TABLE user_profiles (id int PRIMARY KEY, said text, parent int);"
        "CREATE VIEW profiles AS SELECT * FROM user_profiles;"
    )
    said = inspected(plain_database, monkeypatch, tmp_path / "made")
    assert "  profiles → user_profiles; the old table's file is from profiles_old, which is kept aside" in said.out
    pair = spec.load(tmp_path / "made").pairs[0]
    assert [k.references for k in pair.old_ddl.foreign_keys] == [("public", "profiles")]
    assert "ADD CONSTRAINT profiles_said_key UNIQUE (said)" in (tmp_path / "made" / "old" / "profiles.sql").read_text()
    assert call(monkeypatch, plain_database.url, "check", tmp_path / "made").status == 0


def test_names_of_63_bytes_and_with_quotes(
    plain_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new = 'Odd "old" name', "n" * 63
    quoted = old.replace('"', '""')
    plain_database.execute(f'CREATE TABLE {new} (id int PRIMARY KEY); CREATE VIEW "{quoted}" AS SELECT * FROM {new};')
    said = inspected(plain_database, monkeypatch, tmp_path / "made")
    assert (said.status, said.err) == (0, "")
    assert [(p.old, p.new) for p in spec.load(tmp_path / "made").pairs] == [(old, new)]
    assert call(monkeypatch, plain_database.url, "check", tmp_path / "made").status == 0


# --- what can't be used ----------------------------------------------------------------------------------------


def test_every_rename_that_can_not_be_is_told_at_once(
    plain_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain_database.execute(TABLES)
    wrong = {
        "profiles:user_profile": "there is no table public.user_profile; did you mean user_profiles?",
        "joining:orders": "joining is a view, and it reads 2 tables",
        "profiles": "it has to be the old and the new name, with a colon between",
        f"{'x' * 64}:user_profiles": "is longer than the 63 bytes",
        "other:user_profiles": "user_profiles is named twice",
    }
    words = [w for rename in wrong for w in ("--rename", rename)]
    said = inspected(plain_database, monkeypatch, tmp_path / "made", *words)
    assert (said.status, (tmp_path / "made").exists()) == (1, False)
    for rename, told in wrong.items():
        assert re.search(rf"--rename {re.escape(rename)}: .*{re.escape(told)}", said.err)


def test_two_views_of_one_table_ask_which_is_the_old_name(
    plain_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain_database.execute("CREATE TABLE n (id int PRIMARY KEY); CREATE VIEW a AS TABLE n; CREATE VIEW b AS TABLE n;")
    said = inspected(plain_database, monkeypatch, tmp_path / "made")
    assert (said.status, (tmp_path / "made").exists()) == (1, False)
    assert "n has several views of all its columns: a, b; name the old one: --rename OLD:n" in said.err
    assert inspected(plain_database, monkeypatch, tmp_path / "made", "--rename", "b:n").status == 0


def test_folder_that_is_there_is_left_as_it_is(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    said = inspected(migrated_database, monkeypatch, tmp_path)
    assert (said.status, [p.name for p in tmp_path.iterdir()]) == (1, ["kept.txt"])
    assert "is there already. Nothing was written." in said.err


@pytest.mark.parametrize("url", ["postgresql://nobody:hidden@127.0.0.1:1/x", "no url: hidden"])
def test_database_of_before_that_does_not_answer_is_told_without_its_password(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    said = inspected(migrated_database, monkeypatch, tmp_path / "made", "--before", url)
    assert (said.status, (tmp_path / "made").exists()) == (1, False)
    assert "Check the URL of --before" in said.err
    assert "hidden" not in said.err


def test_database_of_before_without_the_old_tables_is_told(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = inspected(migrated_database, monkeypatch, tmp_path / "made", "--before", migrated_database.url)
    assert (said.status, (tmp_path / "made").exists()) == (1, False)
    assert "there is no table public.sys_rag" in said.err
