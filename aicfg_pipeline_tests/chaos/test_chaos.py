"""A minute's worth of chaos with a fixed seed: nothing is lost. `make chaos` runs it for longer and with any seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aicfg_pipeline_tests.chaos.chaos import Chaos, arena
from aicfg_pipeline_tests.chaos.stock import NEW, OLD, PLACES, Stock
from aicfg_pipeline_tests.tools.servers import Database

SECONDS, SEED = 25.0, 20261326  # every kind of fault is in its first two histories


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chaos")


@pytest.fixture(scope="module")
def place(folder: Path) -> Iterator[tuple[Database, Stock]]:
    with arena(folder) as made:
        yield made


@pytest.mark.slow
def test_nothing_is_lost(folder: Path, place: tuple[Database, Stock]) -> None:
    outcome = Chaos(place, folder, SEED, dagster=0.0).run(SECONDS)
    assert outcome.problems == []
    assert outcome.lost == 0
    assert outcome.acknowledged > 1_000
    assert sum(outcome.faults.values()) >= 3, "a run without faults proves nothing"


CHANGES = (
    "UPDATE {table} SET loose = NULL WHERE held && int4range(70, 71)",
    "DELETE FROM {table} WHERE held && int4range(0, 1)",
    "ALTER TABLE {table} REPLICA IDENTITY NOTHING",
    "DROP STATISTICS {table}_stat",
    "ALTER TABLE {table} DROP CONSTRAINT {table}_held_excl",
    "ALTER TABLE {table} ALTER letters DROP EXPRESSION",
    "ALTER TABLE {table} ALTER id SET GENERATED ALWAYS",
    "ALTER TABLE {table} DROP CONSTRAINT {table}_place_fkey",
    "ALTER TABLE {table} DISABLE TRIGGER stamp",
    "REVOKE GRANT OPTION FOR SELECT ON {table} FROM chaos_reader",
    "GRANT INSERT ON {table} TO chaos_clerk",
    f"ALTER TABLE {PLACES} DISABLE TRIGGER stamp",
    "ALTER FUNCTION stock_stamp() OWNER TO chaos_clerk",
    "DROP PUBLICATION chaos_all",
)


def test_the_witness_of_the_stock_sees_each_of_these(place: tuple[Database, Stock]) -> None:
    """Wherever the chaos before has left it: rolled back, or migrated where this test runs alone."""
    database, stock = place
    known = set(stock.judge(database))
    assert known == set()
    table = OLD if database.exists(OLD) == "r" else NEW
    for change in CHANGES:
        database.admin().execute(change.format(table=table))  # type: ignore[call-overload]
        found = set(stock.judge(database))
        assert found - known, f"nobody saw: {change}"
        known = found
