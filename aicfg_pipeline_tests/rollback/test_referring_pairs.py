"""Pairs whose tables refer to each other and to themselves go forward, back, forth and back, in any order."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.rollback.steps.test_plan_is_what_runs import plan_and_run, undo
from aicfg_pipeline_tests.tools import referring
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back
from aicfg_pipeline_tests.tools.referring import KEYS, Written
from aicfg_pipeline_tests.tools.servers import Database

ROWS = (
    "SELECT 'team', id, said, lead, parent FROM {0}teams UNION ALL SELECT 'person', id, said, team, boss FROM {0}people"
    " ORDER BY 1, 2"
)


@pytest.mark.parametrize(
    ("written", "order"),
    [("inside", ("teams", "people")), ("beside", ("people", "teams"))],
)
def test_a_cycle_of_keys_goes_forward_back_forth_and_back(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Written, order: tuple[str, str]
) -> None:
    referring.set_up(plain_database, tmp_path / "sql", monkeypatch, written, order)
    keys, rows = plain_database.query(KEYS), plain_database.query(ROWS.format(""))
    new_keys = [tuple(_renamed(v) for v in row) for row in keys]

    plan_and_run(plain_database, "migrate", migrate)
    assert (plain_database.query(KEYS), plain_database.query(ROWS.format("app_"))) == (sorted(new_keys), rows)
    plan_and_run(plain_database, "rollback", roll_back)
    assert (plain_database.query(KEYS), plain_database.query(ROWS.format(""))) == (keys, rows)
    plan_and_run(plain_database, "undo_rollback", undo)
    assert (plain_database.query(KEYS), plain_database.query(ROWS.format("app_"))) == (sorted(new_keys), rows)
    plan_and_run(plain_database, "rollback", roll_back)
    plan_and_run(plain_database, "drop_new_tables", lambda run: drop_parked(run, tmp_path))
    assert (plain_database.query(KEYS), plain_database.query(ROWS.format(""))) == (keys, rows)


def _renamed(value: object) -> object:
    """What a definition or a name says after the migration."""
    if not isinstance(value, str):
        return value
    for table in ("teams", "people"):
        value = value.replace(f"{table}_", f"app_{table}_").replace(f"REFERENCES {table}", f"REFERENCES app_{table}")
        value = f"app_{value}" if value == table else value
    return value


@pytest.mark.parametrize("order", [("teams", "people"), ("people", "teams")])
def test_keys_inside_create_table_are_read_like_those_by_alter_table(tmp_path: Path, order: tuple[str, str]) -> None:
    inside = spec.load(referring.write(tmp_path / "inside", "inside", order))
    beside = spec.load(referring.write(tmp_path / "beside", "beside", order))
    for one, other in zip(inside.pairs, beside.pairs, strict=True):
        assert set(one.old_ddl.foreign_keys) == set(other.old_ddl.foreign_keys)
        assert set(one.new_ddl.foreign_keys) == set(other.new_ddl.foreign_keys)
        assert "REFERENCES" not in " ".join(one.old_ddl.blocks["table"].statements)
