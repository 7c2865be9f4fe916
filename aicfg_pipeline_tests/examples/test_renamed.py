"""The examples of the instant way: back, forth, back and for good, while somebody writes; pg_dump is the witness of each side."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.rollback.steps.test_instant import FILE, public, writing
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

EXAMPLES = Path(__file__).parents[2] / "examples"
STORIES = {
    "renamed_in_place": ("rooms", "app_rooms", "UPDATE doors SET room_id = 1 + (id + %s) % 50"),
    "columns_renamed": ("people", "people", "SELECT count(mail) + %s FROM addresses"),
}


@pytest.mark.two_versions
@pytest.mark.parametrize("example", STORIES)
def test_the_example_tells_its_story(
    example: str, plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, writes = STORIES[example]
    seed = (EXAMPLES / example / "seed.sql").read_text(encoding="utf-8")
    before_migration, _, _ = seed.partition("-- The migration.")
    plain_database.execute(before_migration)
    as_it_was = public(plain_database)
    plain_database.execute("SET search_path = public;" + seed[len(before_migration) :])
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(EXAMPLES / example))
    migrated, file = public(plain_database), plain_database.query(FILE, (new,))
    with writing(plain_database, writes) as writer:
        for chapter in ("rollback", "undo", "rollback", "drop"):
            with running(plain_database.url) as run:
                if chapter == "undo":
                    undo_rollback(run)
                elif chapter == "rollback":
                    roll_back(run)
                    told = {c.name: c for c in verify.run_checks(run.session, run.migration) if c.pair == old}
                    assert told["rows"].summary.startswith("The rows never moved: ")
                else:
                    drop_parked(run, tmp_path)
            assert public(plain_database) == (migrated if chapter == "undo" else as_it_was), chapter
    assert (writer.errors, plain_database.query(FILE, (old,))) == ([], file)
    assert writer.written > 10
