"""Two renames in a row: first becomes middle, middle becomes last. The later one goes back first, and the plan names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration
from aicfg_pipeline_tests.rollback.beside.two import COLUMNS, act, dropped
from aicfg_pipeline_tests.tools.folders import make_old, write_folder
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database


def _forward(run: Run) -> None:
    lifecycle.begin(run, "migrate")
    migrate(run)


@pytest.fixture
def row(plain_database: Database, tmp_path: Path) -> dict[str, Migration]:
    """Both have gone forward."""
    write_folder(tmp_path / "earlier", "first", "middle", COLUMNS, name="earlier")
    write_folder(tmp_path / "later", "middle", "last", COLUMNS, name="later")
    migrations = {name: spec.load(tmp_path / name) for name in ("earlier", "later")}
    make_old(plain_database.connect(), migrations["earlier"])
    plain_database.execute("INSERT INTO first (body) VALUES ('a'), ('b')")
    act(plain_database, migrations["earlier"], _forward)
    plain_database.execute("DROP VIEW first")
    act(plain_database, migrations["later"], _forward)
    return migrations


def _codes(database: Database, migration: Migration) -> list[tuple[str, str]]:
    found = planned(database.url, migration=migration).hazards
    return [(h.code, str(h.facts.get("migration"))) for h in found if not h.informative]


def test_the_later_one_is_asked_for_by_name_until_it_is_done_with(
    plain_database: Database, row: dict[str, Migration], tmp_path: Path
) -> None:
    assert ("renamed_again", "later") in _codes(plain_database, row["earlier"])
    assert ("missing_table", "None") not in _codes(plain_database, row["earlier"])
    act(plain_database, row["later"], roll_back)
    assert _codes(plain_database, row["earlier"]) == [("in_use_elsewhere", "the migration later")]
    act(plain_database, row["later"], dropped(tmp_path / "exports"))
    assert _codes(plain_database, row["earlier"]) == []
    act(plain_database, row["earlier"], roll_back)
    assert plain_database.query("SELECT body FROM public.first ORDER BY 1") == [("a",), ("b",)]


def test_the_later_one_is_not_said_to_be_broken_once_the_earlier_has_gone_back_too(
    plain_database: Database, row: dict[str, Migration], tmp_path: Path
) -> None:
    act(plain_database, row["later"], roll_back)
    act(plain_database, row["later"], dropped(tmp_path / "exports"))
    act(plain_database, row["earlier"], roll_back)
    with running(plain_database.url, migration=row["later"]) as run:
        checks = verify.run_checks(run.session, row["later"])
    assert [f"{c.name}: {c.summary}" for c in checks if c.failed] == []


def test_where_the_ledger_does_not_know_the_later_one_its_table_is_named(
    plain_database: Database, row: dict[str, Migration]
) -> None:
    plain_database.execute("DELETE FROM aicfg_rollback.ledger WHERE migration = 'later'")
    (found,) = [h for h in planned(plain_database.url, migration=row["earlier"]).hazards if h.code == "renamed_again"]
    assert "public.last" in found.found
