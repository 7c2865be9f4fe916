"""Values are judged there and back: what would not come back as it is is a hazard by name; what would passes (D3, O10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned, refused
from aicfg_pipeline_tests.tools.servers import Database


def migrated(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, *values: str
) -> None:
    """A pair whose column `v` is of type `old` and then `new`, with these values written since."""
    set_up(database, folder, monkeypatch, f"id integer NOT NULL, v {old}", new_columns=f"id integer NOT NULL, v {new}")
    database.execute(f"DROP TABLE thing; CREATE TABLE new_thing (id integer PRIMARY KEY, v {new})")
    for number, value in enumerate(values):
        database.execute(f"INSERT INTO new_thing VALUES ({number}, {value})")


CHANGED = [
    ("integer", "numeric(10,2)", "1.50", "2"),
    ("date", "timestamp", "'2026-01-01 09:00'", "2026-01-01"),
    ("numeric(20,15)", "double precision", "0.1234567890123456", "0.123456789012346"),
    ("real", "double precision", "0.1", "0.1"),
    ("numeric(3,2)", "numeric(6,5)", "0.71234", "0.71"),
    ("timestamp(0)", "timestamp", "'2026-01-01 09:00:00.4'", "2026-01-01 09:00:00"),
    ("jsonb", "json", "'{\"a\":1,  \"a\":2}'", '{"a": 2}'),
    ("time", "timestamp", "'2026-01-01 09:00'", "09:00:00"),
    ("numeric(4,1)[]", "numeric(6,3)[]", "'{1.255}'", "{1.3}"),
    ("bigint", "text", "'007'", "7"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "value", "becomes"), CHANGED, ids=[f"{n} to {o}" for o, n, *_ in CHANGED])
def test_d3_value_that_would_be_rounded_cut_or_written_otherwise_is_named_and_may_be_accepted(
    plain_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    value: str,
    becomes: str,
) -> None:
    migrated(plain_database, tmp_path, monkeypatch, old, new, value, "NULL")
    (hazard,) = refused(plain_database)
    assert (hazard.code, hazard.facts["rows"], hazard.facts["keys"]) == ("values_change", 1, [[0]])
    plan.gate(planned(plain_database.url), ["values_change"])
    with running(plain_database.url, accept_hazards=("values_change",)) as run:
        roll_back(run)
    assert plain_database.query("SELECT v::text FROM thing ORDER BY id") == [(becomes,), (None,)]
    kept = plain_database.query(f"SELECT (v::text = ({value}::{new})::text) FROM aicfg_rollback.new_thing WHERE id = 0")
    assert kept == [(True,)]


LOSSLESS = [
    ("numeric(10,2)", "integer", ("1", "-7")),
    ("numeric(10,2)", "numeric", ("1.5", "2")),
    ("bigint", "integer", ("1",)),
    ("integer", "bigint", ("1",)),
    ("integer", "numeric(10,2)", ("2.00",)),
    ("text", "varchar(8)", ("'a '", "''")),
    ("varchar(8)", "text", ("'a '", "''")),
    ("text", "char(5)", ("'ab'",)),
    ("char(5)", "text", ("'ab'", "'abcde'")),
    ("jsonb", "json", ("'{\"a\": 1}'",)),
    ("text", "uuid", ("'00000000-0000-0000-0000-000000000001'",)),
    ("text", "boolean", ("true",)),
    ("double precision", "real", ("0.1",)),
    ("timestamp", "date", ("'2026-01-01'",)),
    ("bit varying", "bit(3)", ("B'101'",)),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "values"), LOSSLESS, ids=[f"{n} to {o}" for o, n, _ in LOSSLESS])
def test_d3_lossless_change_of_type_passes(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, values: tuple[str]
) -> None:
    migrated(plain_database, tmp_path, monkeypatch, old, new, *values)
    assert planned(plain_database.url).hazards == ()
    with running(plain_database.url) as run:
        roll_back(run)
    read = ", ".join(f"({v}::{new}::{old})::text" for v in values)
    assert plain_database.query("SELECT array_agg(v::text ORDER BY id) FROM thing") == plain_database.query(
        f"SELECT ARRAY[{read}]"
    )


ZONES = [("timestamp", "timestamptz"), ("timestamptz", "timestamp"), ("date", "timestamptz"), ("timestamptz", "date"),
         ("timestamp[]", "timestamptz[]")]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), ZONES)
def test_d3_moment_that_becomes_a_wall_clock_is_a_hazard_whatever_the_values(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    migrated(plain_database, tmp_path, monkeypatch, old, new)
    (hazard,) = refused(plain_database)
    assert (hazard.code, hazard.acceptable, hazard.facts["column"]) == ("time_zone", True, "v")


def test_d3_zone_that_the_migration_says_is_no_hazard_and_is_used(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = {"v": "v AT TIME ZONE 'Europe/Berlin'"}
    columns = "id integer NOT NULL, v {}"
    set_up(
        plain_database, tmp_path, monkeypatch, columns.format("timestamp"),
        "INSERT INTO thing VALUES (1, '2026-01-01 12:00')", new_columns=columns.format("timestamptz"),
        pair={"back": zone, "forth": zone},
    )  # fmt: skip
    migrate_forward(plain_database.url)
    assert plain_database.query("SELECT v AT TIME ZONE 'UTC' = '2026-01-01 11:00' FROM new_thing") == [(True,)]
    assert planned(plain_database.url).hazards == ()
    with running(plain_database.url) as run:
        roll_back(run)
    assert plain_database.query("SELECT v::text FROM thing") == [("2026-01-01 12:00:00",)]


def test_value_that_is_too_long_can_not_be_accepted(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated(plain_database, tmp_path, monkeypatch, "varchar(3)", "text", "'long'", "'ok'")
    (hazard,) = refused(plain_database)
    assert (hazard.code, hazard.acceptable, hazard.facts["keys"]) == ("type_mismatch", False, [[0]])


# --- O10: the log's key ----------------------------------------------------------------------------------------


KEYS = [
    ("bigint", "integer", "1", "5000000000"),
    ("integer", "bigint", "1", "2"),
    ("varchar(20)", "varchar(8)", "'a'", "'a longer key'"),
    ("text", "varchar(8)", "'a'", "'a longer key'"),
    ("numeric", "numeric(4,1)", "1.5", "12345.25"),
    ("numeric", "integer", "1", "12345.25"),
]


@pytest.mark.parametrize(("old", "new", "key", "later"), KEYS, ids=[f"{n} to {o}" for o, n, *_ in KEYS])
def test_o10_writers_of_the_old_table_may_use_every_key_that_it_takes(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, key: str, later: str
) -> None:
    columns, new_columns = f"id {old} NOT NULL, v text", f"id {new} NOT NULL, v text"
    set_up(plain_database, tmp_path, monkeypatch, columns, new_columns=new_columns)
    migrate_forward(plain_database.url)
    plain_database.execute(f"INSERT INTO new_thing VALUES ({key}, 'x')")
    assert planned(plain_database.url).hazards == ()
    with running(plain_database.url) as run:
        roll_back(run)
    plain_database.execute(f"INSERT INTO thing VALUES ({later}, 'y')")
    assert plain_database.query(f"SELECT id = {later} FROM aicfg_rollback.change_log_thing") == [(True,)]


def test_o10_keys_that_no_type_holds_are_told_by_the_plan(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, new_columns = "id text NOT NULL, v text", "id uuid NOT NULL, v text"
    set_up(plain_database, tmp_path, monkeypatch, columns, new_columns=new_columns)
    plain_database.execute("DROP TABLE thing; CREATE TABLE new_thing (id uuid PRIMARY KEY, v text)")
    (hazard,) = refused(plain_database)
    assert hazard.code == "type_mismatch"
    assert hazard.found.startswith('The key id is uuid in new_thing and text COLLATE pg_catalog."default" in thing')


def test_o10_a_change_log_of_an_earlier_version_is_not_gone_on_with(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key had the new table's type: after the cut-over a larger number could not be noted, and not be written."""
    columns = "id {} NOT NULL, v text"
    new = columns.format("integer")
    set_up(
        plain_database,
        tmp_path,
        monkeypatch,
        columns.format("bigint"),
        "INSERT INTO thing VALUES (1, 'a')",
        new_columns=new,
    )
    migrate_forward(plain_database.url)
    with running(plain_database.url) as run:
        lifecycle.begin(run, "rollback")
        copy_back(run, "thing")
        plain_database.execute("ALTER TABLE aicfg_rollback.change_log_thing ALTER COLUMN id TYPE integer")
        said: list[str] = []
        run.say = said.append
        roll_back(run)
    assert [line for line in said if "its change log is an earlier version's" in line] != []
    plain_database.execute("INSERT INTO thing VALUES (5000000000, 'b')")
    assert plain_database.query("SELECT id FROM aicfg_rollback.change_log_thing") == [(5000000000,)]
