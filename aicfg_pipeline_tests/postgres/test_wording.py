"""What a server says is shown without rows and without values of anybody's statement (S4)."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.postgres.locks import Blocker
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.postgres.wording import without_values
from aicfg_pipeline_tests.tools.servers import Database

VALUE = "CONFIDENTIAL"
SETUP = f"""
CREATE TABLE public.patients (id text PRIMARY KEY, name text NOT NULL, age integer CHECK (age < 100),
                              born date, friend text REFERENCES public.patients, EXCLUDE USING btree (name WITH =));
INSERT INTO public.patients VALUES ('{VALUE}-1', '{VALUE} name', 50);
CREATE VIEW public.old_patients AS SELECT * FROM public.patients WHERE age > 60 WITH CHECK OPTION;
CREATE FUNCTION public.raise_it() RETURNS void LANGUAGE plpgsql AS $$
BEGIN RAISE 'patient {VALUE} is wrong' USING DETAIL = '{VALUE} detail', HINT = '{VALUE} hint'; END $$;
CREATE DOMAIN public.short AS text CHECK (length(VALUE) < 5);
"""
ROW = "public.patients (id, name, age, friend)"
STATEMENTS = [
    f"INSERT INTO {ROW} VALUES ('{VALUE}-1', 'x', 1, NULL)",  # unique
    f"INSERT INTO {ROW} VALUES ('{VALUE}-2', NULL, 1, NULL)",  # not null
    f"INSERT INTO {ROW} VALUES ('{VALUE}-2', 'x', 200, NULL)",  # check
    f"INSERT INTO {ROW} VALUES ('{VALUE}-2', 'x', 20, '{VALUE}-9')",  # foreign key
    f"INSERT INTO {ROW} VALUES ('{VALUE}-2', '{VALUE} name', 20, NULL)",  # exclusion
    f"INSERT INTO public.old_patients VALUES ('{VALUE}-2', 'x', 20)",  # check option
    f"SELECT '{VALUE}'::integer",
    f"SELECT '{VALUE}'::date",
    f"SELECT '{VALUE}'::uuid",
    f"SELECT '{{\"a\": {VALUE}}}'::json",
    f"SELECT '{VALUE}'::public.patients",
    f"SELECT name::integer FROM public.patients -- {VALUE}",
    f"SELECT ('2024-13-01 {VALUE}')::timestamptz",
    f"SELECT '{VALUE}'::public.short",
    "SELECT public.raise_it()",
    f"SELECT nonsense, '{VALUE}' FROM public.patients",
    f"SELEC '{VALUE}'",
    f"ALTER TABLE public.patients ADD CHECK (name <> '{VALUE} name')",
    "ALTER TABLE public.patients ALTER name TYPE integer USING name::integer",
    f"SELECT to_date('{VALUE}', 'YYYY')",
    f"SELECT 1/0 -- {VALUE}",
]


@pytest.fixture
def patients(empty_database: Database) -> Database:
    empty_database.admin().execute("GRANT CREATE ON SCHEMA public TO postgres")
    empty_database.execute(SETUP)
    return empty_database


@pytest.mark.every_version
def test_s4_no_error_class_shows_a_row_or_a_value(
    patients: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICFG_HOME", str(tmp_path / "home"))
    session, shown, states = connect(patients.url), list[str](), set[str]()
    for statement in STATEMENTS:
        with pytest.raises(PipelineError) as caught:
            session.execute(statement)
        shown.append(str(caught.value))
        states.add(caught.value.sqlstate)  # type: ignore[attr-defined]
    session.close()
    assert [s for s in shown if VALUE in s] == []
    assert {"23505", "23502", "23514", "23503", "23P01", "44000", "22P02", "22007", "P0001", "42703"} <= states
    assert "constraint" in shown[0]
    assert "patients" in shown[0]
    kept = list((tmp_path / "home" / "server-messages").iterdir())
    assert any(VALUE in k.read_text() for k in kept)
    assert {stat.S_IMODE(k.stat().st_mode) for k in kept} == {0o600}
    assert stat.S_IMODE((tmp_path / "home" / "server-messages").stat().st_mode) == 0o700
    assert str(kept[0].parent) in "".join(shown)


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("alter role keeper password 'hunter2-TOPSECRET'", "alter role keeper password …"),
        ("alter role keeper password E'hunter2\\'TOP", "alter role keeper password …"),
        ("UPDATE t1 SET a = 4711, b = $1 WHERE \"c d\" = 'x''y'", 'UPDATE t1 SET a = …, b = $1 WHERE "c d" = …'),
        ("DO $body$ hunter2 $body$", "DO …"),
        ("DO $$ hunter2 cut off", "DO …"),
        ("SELECT 'cut off in the mid", "SELECT …"),
        ("SELECT 1 -- hunter2\n, 2 /* hunter2 */", "SELECT … … , … …"),
        ("SELECT 'it\\'s hunter2', 'x'", "SELECT …"),
    ],
)
def test_s4_somebody_elses_statement_is_shown_without_its_values(statement: str, shown: str) -> None:
    assert without_values(statement) == shown


def test_s4_a_blocker_never_holds_values_but_the_name_of_a_prepared_transaction() -> None:
    session = Blocker(7, "u", "psql", "active", "now", "alter role u password 'hunter2'")
    prepared = Blocker(0, "u", "two-phase commit", "prepared transaction", "now", "order '4711'")
    assert "hunter2" not in f"{session} {session!r}"
    assert "order '4711'" in str(prepared)
