"""B5: a migration without a view (`view_sql` is optional). Undo restores exactly what was there: no view where there was none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aicfg_pipeline.rollback.hazards import Subject, undoing
from aicfg_pipeline.rollback.run import Settings
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools import folders
from aicfg_pipeline_tests.tools.migration import migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database


@pytest.fixture
def thing(plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A pair whose migration names no view's file, with its old table in the database."""
    columns = "id integer NOT NULL, word text"
    folders.set_up(plain_database, tmp_path, monkeypatch, columns, "INSERT INTO thing SELECT 1, 'x'")
    file = tmp_path / "migration.yaml"
    said = yaml.safe_load(file.read_text())
    del said["pairs"][0]["view_sql"]
    file.write_text(yaml.safe_dump(said))
    return plain_database


@pytest.mark.two_versions
def test_there_and_back_without_a_view(thing: Database) -> None:
    migrate_forward(thing.url)
    assert thing.exists("public.thing") is None
    before = thing.schema_dump()
    assert planned(thing.url).hazards == ()
    with running(thing.url) as run:
        roll_back(run)
        assert thing.query("SELECT * FROM thing") == [(1, "x")]
        undo_rollback(run)
        assert [c.summary for c in verify.run_checks(run.session, run.migration) if c.failed] == []
    assert thing.exists("public.thing") is None
    assert [line for line in thing.schema_dump().splitlines() if "public." in line] == [
        line for line in before.splitlines() if "public." in line
    ]


def test_that_nothing_will_have_the_old_name_is_told_before_the_undo(thing: Database) -> None:
    thing.execute("CREATE TABLE new_thing (id integer PRIMARY KEY, word text); INSERT INTO new_thing VALUES (1, 'x')")
    with running(thing.url) as run:
        roll_back(run)
        subject = Subject(run.session, spec.load(), run.look(), Settings(), must_confirm=False)
        (hazard,) = undoing.find(subject)
    assert (hazard.code, hazard.pair, hazard.acceptable) == ("old_name_goes", "thing", True)
    with running(thing.url, accept_hazards=("old_name_goes",)) as run:
        undo_rollback(run)
    assert thing.exists("public.thing") is None
    assert thing.query("SELECT * FROM new_thing") == [(1, "x")]
