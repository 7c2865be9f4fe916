"""A database with a ledger of before, in which no row says which migration it is about, is taken over and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.rollback.beside.two import (
    COLUMNS,
    act,
    copied,
    dropped,
    given_up,
    load_two,
    make_both,
    undone,
)
from aicfg_pipeline_tests.tools.folders import write_folder
from aicfg_pipeline_tests.tools.migration import prepared, roll_back
from aicfg_pipeline_tests.tools.servers import Database

OF_BEFORE = Path(__file__).with_name("ledger_of_before.sql")
ROWS = "SELECT id, run_id, step, outcome, pair, facts - 'pairs' - 'schema' FROM aicfg_rollback.ledger ORDER BY id"


def as_before(database: Database) -> None:
    """Give a database the ledger of before, with the rows that it has."""
    database.execute("ALTER TABLE aicfg_rollback.ledger RENAME TO ledger_of_today;" + OF_BEFORE.read_text("utf-8"))


def _rolled_back_and_undone(run: Run) -> None:
    roll_back(run)
    undone(run)


GOES_ON: dict[str, tuple[Callable[[Run], object], str, Callable[[Run], object], str]] = {
    "copied": (copied, "copying", roll_back, "cut_over"),
    "prepared": (prepared, "prepared", roll_back, "cut_over"),
    "prepared, given up": (prepared, "prepared", given_up, "migrated"),
    "cut over": (roll_back, "cut_over", undone, "migrated"),
    "undone": (_rolled_back_and_undone, "migrated", roll_back, "cut_over"),
}


@pytest.mark.parametrize("case", GOES_ON)
def test_each_state_is_recognised_and_gone_on_with(plain_database: Database, tmp_path: Path, case: str) -> None:
    there, state, on, after = GOES_ON[case]
    two = load_two(tmp_path)
    make_both(plain_database, two)
    plain_database.execute("DELETE FROM aicfg_rollback.ledger WHERE migration = 'two'")
    act(plain_database, two["one"], there)
    as_before(plain_database)
    rows = plain_database.query(ROWS)
    assert _state(plain_database, tmp_path / "one") == state

    act(plain_database, two["one"], on)

    assert _state(plain_database, tmp_path / "one") == after
    assert plain_database.query(ROWS)[: len(rows)] == rows
    assert plain_database.query("SELECT DISTINCT migration, place FROM aicfg_rollback.ledger") == [
        ("one", "aicfg_rollback")
    ]
    table = "thing" if after == "cut_over" else "item"
    assert plain_database.query(f"SELECT body FROM one.{table} ORDER BY id") == [("one 1",), ("one 2",), ("one 3",)]


def test_a_second_migration_does_not_take_over_what_is_the_firsts(plain_database: Database, tmp_path: Path) -> None:
    """The second is the first to be at work after that: it makes a schema of its own, and the other goes on."""
    two = load_two(tmp_path)
    make_both(plain_database, two)
    plain_database.execute("DELETE FROM aicfg_rollback.ledger WHERE migration = 'two'")
    act(plain_database, two["one"], roll_back)
    as_before(plain_database)
    write_folder(tmp_path / "other", "stuff", "goods", COLUMNS, name="other", schema="two")
    other = spec.load(tmp_path / "other")
    plain_database.execute("ALTER TABLE two.item RENAME TO goods; DROP VIEW two.thing")

    act(plain_database, other, roll_back)

    assert plain_database.query("SELECT DISTINCT migration, place FROM aicfg_rollback.ledger ORDER BY 1") == [
        ("other", "aicfg_rollback_of_other"),
        (None, "aicfg_rollback"),
    ]
    assert _state(plain_database, tmp_path / "one") == "cut_over"
    act(plain_database, two["one"], dropped(tmp_path / "exports"))
    assert _state(plain_database, tmp_path / "one") == "rolled_back"
    assert plain_database.exists("aicfg_rollback_of_other.goods") is not None


def _state(database: Database, folder: Path) -> str:
    migration = spec.load(folder)
    session = connect(database.url, "aicfg_pipeline test")
    try:
        return str(look(session, migration)[migration.pairs[0].old].state)
    finally:
        session.close()
