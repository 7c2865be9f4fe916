"""Two migrations in one database don't disturb each other, in every combination of states; what they share is told apart."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import aicfg_pipeline
from aicfg_pipeline.errors import AlreadyRunningError, ConfigError
from aicfg_pipeline.postgres import statements
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.glance import glance
from aicfg_pipeline.rollback.lock import application_name, take_run_lock
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration
from aicfg_pipeline_tests.rollback.beside.two import (
    COLUMNS,
    EVERYTHING_ELSE,
    NEW,
    OLD,
    WAYS,
    act,
    dropped,
    forward,
    given_up,
    load_two,
    make_both,
    undone,
    works,
)
from aicfg_pipeline_tests.tools.everything import EVERYTHING
from aicfg_pipeline_tests.tools.folders import write_folder
from aicfg_pipeline_tests.tools.migration import prepared, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database, Server

EXAMPLES, STEPS = (60, 12) if EVERYTHING else (3, 7)
MOVES = ("written", *WAYS)
PRIVATE = {"one": "aicfg_rollback", "two": "aicfg_rollback_of_two"}
"""The first that was at work in the database has the private schema, the other one beside it."""


@pytest.fixture
def two(tmp_path: Path) -> dict[str, Migration]:
    return load_two(tmp_path)


@pytest.fixture
def both(plain_database: Database, two: dict[str, Migration]) -> Database:
    make_both(plain_database, two)
    return plain_database


class Told:
    """What the plain model knows of one migration: where it stands, and its rows."""

    def __init__(self, name: str) -> None:
        self.name, self.state, self.number = name, "migrated", 3
        self.rows = {n: f"{name} {n}" for n in range(1, 4)}

    def may(self, what: str) -> bool:
        return what == "written" or self.state in WAYS[what][0]

    @property
    def live(self) -> str:
        return OLD if self.state in ("cut_over", "rolled_back") else NEW


def _others(database: Database, mine: str, private: str) -> object:
    theirs = database.query(EVERYTHING_ELSE, [[mine, private]])
    tables = [f'"{row[0]}"."{row[1]}"' for row in theirs if row[2] == "r"]
    rows = {table: database.query(f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in tables}
    book = database.query("SELECT l::text FROM aicfg_rollback.ledger AS l WHERE migration <> %s ORDER BY id", [mine])
    return theirs, rows, book


def _do(database: Database, migration: Migration, told: Told, what: str, folder: Path) -> None:
    if what == "written":
        told.number += 1
        told.rows[told.number] = f"row {told.number}"
        told.rows[1] = f"changed {told.number}"
        table = f"{told.name}.{told.live}"
        database.execute(
            f"INSERT INTO {table} VALUES ({told.number}, 'row {told.number}');"
            f" UPDATE {table} SET body = 'changed {told.number}' WHERE id = 1"
        )
        return
    act(database, migration, works(folder)[what])
    told.state = WAYS[what][1]


def test_each_goes_its_way_and_the_other_is_untouched(server: Server, tmp_path: Path) -> None:
    """Any history of both, with every name the same: after each step all that is the other's is as it was, by the catalog."""
    migrations = load_two(tmp_path)
    numbers = itertools.count()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def histories(data: st.DataObject) -> None:
        with server.database("beside", lambda database: make_both(database, migrations)) as database:
            told = {name: Told(name) for name in migrations}
            folder = tmp_path / f"exports {next(numbers)}"
            for _ in range(STEPS):
                moves = [(name, what) for name, model in told.items() for what in MOVES if model.may(what)]
                name, what = data.draw(st.sampled_from(moves))
                before = _others(database, name, PRIVATE[name])
                _do(database, migrations[name], told[name], what, folder)
                assert _others(database, name, PRIVATE[name]) == before, (name, what)
                _as_told(database, migrations, told)

    histories()


def _as_told(database: Database, migrations: dict[str, Migration], told: dict[str, Told]) -> None:
    for name, model in told.items():
        session = connect(database.url, "aicfg_pipeline test")
        try:
            assert str(look(session, migrations[name])[OLD].state) == model.state
        finally:
            session.close()
        found = database.query(f"SELECT id, body FROM {name}.{model.live} ORDER BY id")
        assert dict(found) == model.rows


def test_verification_of_one_passes_whatever_is_left_of_the_other(
    both: Database, two: dict[str, Migration], tmp_path: Path
) -> None:
    for first, second in (("one", "two"), ("two", "one")):
        act(both, two[second], prepared)
        act(both, two[first], roll_back)
        act(both, two[first], dropped(tmp_path / f"exports {first}"))
        with running(both.url, migration=two[first]) as run:
            checks = {c.name: c for c in verify.run_checks(run.session, two[first])}
        assert [c.summary for c in checks.values() if c.failed] == []
        assert checks["nothing_left"].passed, checks["nothing_left"].summary
        act(both, two[second], given_up)
        act(both, two[first], forward)


def test_second_migration_leaves_no_schema_of_its_own_behind(
    both: Database, two: dict[str, Migration], tmp_path: Path
) -> None:
    schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'aicfg%' ORDER BY 1"
    act(both, two["two"], roll_back)
    assert [r[0] for r in both.query(schemas)] == ["aicfg_rollback", "aicfg_rollback_of_two"]
    act(both, two["two"], undone)
    act(both, two["two"], roll_back)
    act(both, two["two"], dropped(tmp_path / "exports"))
    assert [r[0] for r in both.query(schemas)] == ["aicfg_rollback"]


def test_sensor_of_one_does_not_see_what_is_done_to_the_other(both: Database, two: dict[str, Migration]) -> None:
    session = connect(both.url, "aicfg_pipeline sensor")
    try:
        before = {name: glance(session, migration) for name, migration in two.items()}
        act(both, two["two"], roll_back)
        after = {name: glance(session, migration) for name, migration in two.items()}
    finally:
        session.close()
    assert after["one"].mark == before["one"].mark
    assert after["two"].mark != before["two"].mark


def test_a_run_is_refused_while_the_other_migration_is_at_work_and_it_is_named(
    both: Database, two: dict[str, Migration]
) -> None:
    holder = connect(both.url, application_name("rollback", "0123456789", two["one"].name))
    other = connect(both.url, "aicfg_pipeline test")
    try:
        take_run_lock(holder)
        with pytest.raises(AlreadyRunningError, match=r"at the migration one \(job rollback\)"):
            take_run_lock(other)
    finally:
        holder.close()
        other.close()


def test_another_migration_of_the_same_name_is_refused(both: Database, tmp_path: Path) -> None:
    write_folder(tmp_path / "third", "elsewhere", "gone", COLUMNS, name="one", schema="one")
    third = spec.load(tmp_path / "third")
    session = connect(both.url, "aicfg_pipeline test")
    try:
        with pytest.raises(ConfigError, match=r"knows another migration by the name one: that of (one\.)?thing"):
            ledger.read(session, third)
    finally:
        session.close()


@pytest.mark.parametrize("name", ["Über all", "x" * 90, 'a"quote', "swap", "scratch_1"])
def test_own_schema_needs_no_quotes_and_is_no_other_names(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path / "m", OLD, NEW, COLUMNS, name=name)
    schema = spec.load(tmp_path / "m").own_schema
    assert len(schema.encode()) <= 63
    assert schema.isascii()
    assert schema.replace("_", "").isalnum()
    assert schema == schema.lower()
    assert schema.startswith("aicfg_rollback_of_")


KNOW_THE_FIRST = {"own.py", "ledger.py", "whose.py", "state.py", "structure.py", "surroundings.py"}
"""They speak of the ledger, which is in the schema of the first migration whoever works."""


def test_no_part_of_the_engine_takes_the_first_migrations_schema_for_its_own() -> None:
    package = Path(aicfg_pipeline.__file__).parent / "rollback"
    by_name = [p.name for p in package.rglob("*.py") if re.search(r"PRIVATE_SCHEMA|\"aicfg_rollback\"", p.read_text())]
    assert set(by_name) <= KNOW_THE_FIRST
    blocks = {name: block.sql for name, block in statements._blocks().items() if "'aicfg_rollback'" in block.sql}
    alone = [name for name, text in blocks.items() if "{private}" not in text and "aicfg_rollback_of_" not in text]
    assert sorted(alone) == [
        "closed_to_us", "create_ledger", "ledger_knows_migrations", "not_ours", "read_ledger",
    ]  # fmt: skip
