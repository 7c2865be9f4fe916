"""docs/plan.sql: the whole plan of the demo database in one file. It is current, and runs in psql as it stands.

`make plan-sql` writes it anew (AICFG_WRITE_PLAN=1).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from aicfg_pipeline.evidence.by_hand import script
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline_tests.tools import servers as tools
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database, Server

PLAN = Path(__file__).parents[2] / "docs" / "plan.sql"
TITLE = "The rollback of the demo database, by hand."


def by_psql(database: Database, file: Path) -> None:
    words = ["psql", "-X", "-q", "-d", database.url, "-f", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_kept_plan_is_the_plan(migrated_database: Database) -> None:
    now = script(planned(migrated_database.url), TITLE)
    if os.environ.get("AICFG_WRITE_PLAN"):
        PLAN.write_text(now, encoding="utf-8")
    assert PLAN.read_text(encoding="utf-8") == now, "docs/plan.sql is not current: make plan-sql"


def test_run_in_psql_it_does_what_the_pipeline_does(
    migrated_database: Database, running_server: Server, tmp_path: Path
) -> None:
    """But for the ledger's facts: definitions and rows are those that the pipeline's own rollback leaves."""
    file = tmp_path / "plan.sql"
    file.write_text(script(planned(migrated_database.url), TITLE), encoding="utf-8")
    by_psql(migrated_database, file)
    with running_server.database("migrated", tools.fill_migrated, parent="old") as other:
        with running(other.url) as run:
            roll_back(run)
        assert differing(portrait(other), portrait(migrated_database)) == []
    with running(migrated_database.url) as run:
        assert {s.state for s in run.look().pairs} == {State.CUT_OVER}
