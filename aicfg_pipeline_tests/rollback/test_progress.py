"""What takes long says so every few seconds: a copy, an index, a comparison, a wait for locks."""

from __future__ import annotations

import pytest

from aicfg_pipeline.errors import LockTimeoutError
from aicfg_pipeline.postgres import locks
from aicfg_pipeline.postgres.session import observer
from aicfg_pipeline.rollback import run as running_
from aicfg_pipeline.rollback.run import Run, at_work, index_progress
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database

SLOWLY = """
CREATE TABLE many AS SELECT g AS id FROM generate_series(1, 40) g;
CREATE FUNCTION slowly(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN PERFORM pg_catalog.pg_sleep(0.02); RETURN n; END $$;
"""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines for the person who watches, of a pipeline that is impatient."""
    monkeypatch.setattr(running_, "PROGRESS_SECONDS", 0.1)
    monkeypatch.setattr(locks, "PROGRESS_SECONDS", 0.1)
    return []


def watched(run: Run, said: list[str]) -> Run:
    run.say = said.append
    return run


def test_an_index_says_how_far_it_has_come(empty_database: Database, said: list[str]) -> None:
    empty_database.execute(SLOWLY)
    with running(empty_database.url) as run:
        watched(run, said)
        with at_work(run, "many: indexes", index_progress(run)):
            run.session.connection.execute("CREATE INDEX slow_one ON public.many (public.slowly(id))")
    assert said
    assert all(line.startswith("many: indexes: ") for line in said)
    assert any("building index" in line and " %" in line for line in said)


def test_what_can_not_be_measured_says_how_long_it_has_been_at_work(empty_database: Database, said: list[str]) -> None:
    with running(empty_database.url) as run:
        watched(run, said)
        with at_work(run, "t: comparing row by row"):
            run.session.connection.execute("SELECT pg_catalog.pg_sleep(0.35)")
        lines = len(said)
    assert lines >= 2
    assert set(said) == {"t: comparing row by row: 0 s so far"}


def test_what_is_over_soon_says_nothing(empty_database: Database, said: list[str]) -> None:
    with running(empty_database.url) as run:
        watched(run, said)
        with at_work(run, "short"):
            run.session.connection.execute("SELECT 1")
    assert said == []


def test_a_wait_for_locks_says_which_attempt_it_is_and_until_when(empty_database: Database, said: list[str]) -> None:
    def never() -> None:
        raise LockTimeoutError("not to be had")

    with running(empty_database.url) as run, observer(run.session) as other:
        pid = run.session.connection.info.backend_pid
        with locks.BlockerWatch(other, pid, []) as watch, pytest.raises(LockTimeoutError):
            locks.with_lock_retries(never, watch=watch, what="cut over", say=said.append, attempts=4)
    assert said[0] in {
        "cut over: still no locks, attempt 2 of 4; gives up in 10 s at most",
        "cut over: still no locks, attempt 3 of 4; gives up in 5 s at most",
    }
