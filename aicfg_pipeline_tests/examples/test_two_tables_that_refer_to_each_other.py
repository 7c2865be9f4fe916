"""The example: a circle of keys and one from outside go forward, back, forth and back, while somebody writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline_tests.examples import telling
from aicfg_pipeline_tests.tools.servers import Database

WRITES = "INSERT INTO people (name, team_id) SELECT 'written ' || %s, id FROM teams WHERE name = 'team 7'"
KEYS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
    " WHERE contype = 'f' ORDER BY 2"
)
ROWS = "SELECT p.name, t.name, l.name FROM {0}people p JOIN {0}teams t ON t.id = team_id JOIN {0}people l ON l.id = lead_id"


@pytest.mark.every_version
def test_the_example_tells_its_story_with_a_writer_at_work(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling.seed("two_tables_that_refer_to_each_other", plain_database, monkeypatch)
    old_keys = plain_database.query(KEYS)
    new_keys = sorted((tuple(map(renamed, row)) for row in old_keys), key=lambda row: str(row[1]))
    before = set(plain_database.query(ROWS.format("")))
    for chapter, written in telling.chapters(plain_database, tmp_path, WRITES, accept=("dependents",)):
        forward = chapter in ("migrate", "undo")
        so_far = list(written)
        assert plain_database.query(KEYS) == (new_keys if forward else old_keys), chapter
        at_least = {name for name, *_ in plain_database.query(ROWS.format("app_" if forward else ""))}
        assert {f"written {n}" for n in so_far} <= at_least, chapter
    assert before <= set(plain_database.query(ROWS.format("")))
    assert len(written) > 20


def renamed(value: object) -> object:
    """What a name or a definition says of the tables after the migration."""
    if not isinstance(value, str) or value.startswith("tickets"):
        return value
    for table in ("teams", "people"):
        value = value.replace(f"REFERENCES {table}", f"REFERENCES app_{table}").replace(f"{table}_", f"app_{table}_")
        value = f"app_{value}" if value == table else value
    return value
