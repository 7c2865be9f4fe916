"""A `public` full of traps (S2): functions and operators that fit better than PostgreSQL's own. None goes off.

The names come from the engine's own SQL, so that a statement that is written tomorrow is tried as well.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.glance import glance
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools import traps
from aicfg_pipeline_tests.tools.migration import drop_parked, migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database

ENGINE = Path(__file__).parents[2] / "sql" / "engine"


def function_names() -> list[str]:
    """Every word of the engine's SQL that may be a function's name."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in ENGINE.rglob("*.sql"))
    return sorted(set(re.findall(r"\b([a-z_][a-z0-9_]+)\(", text)))


@pytest.fixture
def trapped(migrated_database: Database) -> Iterator[Database]:
    """As whoever may CREATE in `public`, which is everyone on a server that was once 14."""
    with traps.laid(migrated_database, function_names()):
        yield migrated_database


@pytest.mark.slow
@pytest.mark.two_versions
def test_s2_no_trap_goes_off_under_any_job_or_the_sensor(trapped: Database) -> None:
    migration = spec.load()

    def looked() -> None:
        session = connect(trapped.url)
        glance(session, migration)
        assert [c.summary for c in verify.run_checks(session, migration) if "trap" in c.summary] == []
        session.close()

    assert [h.found for h in planned(trapped.url).hazards if "trap" in h.found] == []
    looked()
    with running(trapped.url) as run:
        roll_back(run)
    looked()
    with running(trapped.url) as run:
        undo_rollback(run)
    looked()
    with running(trapped.url) as run, tempfile.TemporaryDirectory() as folder:
        roll_back(run)
        drop_parked(run, Path(folder))
    looked()
    migrate_forward(trapped.url)
    looked()
