"""D5: whoever's snapshot is older than the copy never meets the copied table: no acknowledged UPDATE finds nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from aicfg_pipeline.errors import LockTimeoutError
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

OLD, NEW = "org_prompt_engineering", "ai_cfg_org_prompts"
LEVELS = ("REPEATABLE READ", "SERIALIZABLE")


def with_old_snapshot(database: Database, level: str) -> psycopg.Connection:
    """A transaction that has seen nothing but another table."""
    session = database.connect(application_name="nightly report")
    session.execute(f"BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM user_profiles")
    return session


def back(run: Run) -> None:
    """A rollback up to the swap."""
    lifecycle.begin(run, "rollback")
    for pair in run.migration.pairs:
        copy_back(run, pair.old)
    compare(run)
    cut_over(run)


def forth(run: Run) -> None:
    lifecycle.begin(run, "undo_rollback")
    undo_rollback(run)


def written_since(database: Database) -> None:
    """So that the undo has something to replay."""
    database.execute(f"UPDATE {OLD} SET response_tone = 'professional'")


DIRECTIONS = pytest.mark.parametrize(("go", "name"), [(back, OLD), (forth, NEW)], ids=["rollback", "undo"])


@pytest.mark.parametrize("level", LEVELS)
@DIRECTIONS
@pytest.mark.two_versions
def test_d5_swap_waits_for_an_older_snapshot_and_its_update_finds_every_row(
    migrated_database: Database, go: Callable[[Run], None], name: str, level: str
) -> None:
    found: list[int] = []
    holding: list[psycopg.Connection] = []

    def say(line: str) -> None:
        """He uses the old name as soon as he is named."""
        named = "nightly report, idle in transaction"
        if holding and f"waiting for pid {holding[0].info.backend_pid} (postgres, {named}" in line:
            found.append(holding[0].execute(f"UPDATE {OLD} SET response_tone = 'casual'").rowcount)
            holding[0].execute("COMMIT")

    with running(migrated_database.url, say=say) as run:
        if go is forth:
            roll_back(run)
            written_since(migrated_database)
        holding.append(with_old_snapshot(migrated_database, level))
        go(run)
    assert found == [40]
    assert migrated_database.query(f"SELECT DISTINCT response_tone FROM {name}") == [("casual",)]


@DIRECTIONS
def test_d5_session_that_does_not_end_is_named_and_nothing_has_changed(
    migrated_database: Database, go: Callable[[Run], None], name: str
) -> None:
    with running(migrated_database.url, lock_attempts=2) as run:
        if go is forth:
            roll_back(run)
            written_since(migrated_database)
        session = with_old_snapshot(migrated_database, "REPEATABLE READ")
        before = migrated_database.query(
            "SELECT oid, relnamespace FROM pg_class WHERE relname = ANY (%s)", ([OLD, NEW],)
        )
        with pytest.raises(LockTimeoutError) as caught:
            go(run)
        after = migrated_database.query(
            "SELECT oid, relnamespace FROM pg_class WHERE relname = ANY (%s)", ([OLD, NEW],)
        )
        assert session.execute(f"UPDATE {OLD} SET response_tone = 'casual'").rowcount == 40
        session.execute("COMMIT")
        cut_over(run) if go is back else undo_rollback(run)  # and with the way free, it goes on
    (named,) = caught.value.complaints
    assert named.startswith(
        f"in the way: pid {session.info.backend_pid} (postgres, nightly report, idle in transaction"
    )
    assert "[a snapshot from before the copy]" in named
    assert set(before) <= set(after)
    assert migrated_database.exists(name) == "r"
    assert migrated_database.query(f"SELECT DISTINCT response_tone FROM {name}") == [("casual",)]


def test_d5_idle_session_with_an_old_snapshot_is_ended_only_if_the_operator_said_so(
    migrated_database: Database,
) -> None:
    lines: list[str] = []
    with running(migrated_database.url, terminate_blockers=True, say=lines.append) as run:
        session = with_old_snapshot(migrated_database, "REPEATABLE READ")
        pid = session.info.backend_pid
        back(run)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    (line,) = [line for line in lines if "terminate_blockers" in line]
    assert f"ended pid {pid} (postgres, nightly report, idle in transaction, " in line


@pytest.mark.parametrize(
    "prelude",
    ["BEGIN; SELECT count(*) FROM user_profiles", "BEGIN; CREATE TEMPORARY TABLE mine AS SELECT 1 AS one"],
    ids=["reader", "writer_elsewhere"],
)
def test_d5_read_committed_transaction_that_is_idle_has_no_snapshot_and_is_not_waited_for(
    migrated_database: Database, prelude: str
) -> None:
    session = migrated_database.connect()
    session.execute(prelude)
    with running(migrated_database.url, lock_attempts=1) as run:
        back(run)
    assert session.execute(f"UPDATE {OLD} SET response_tone = 'casual'").rowcount == 40
    session.execute("COMMIT")


def test_d5_prepared_transaction_elsewhere_has_no_snapshot_and_is_not_waited_for(migrated_database: Database) -> None:
    server = migrated_database.query("SHOW max_prepared_transactions")[0][0]
    if server == "0":
        pytest.skip("this server has no prepared transactions")
    session = migrated_database.connect()
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE TABLE elsewhere (); PREPARE TRANSACTION 'kept'")
    with running(migrated_database.url, lock_attempts=1) as run:
        back(run)
    session.execute("ROLLBACK PREPARED 'kept'")


def test_d5_workers_with_a_pause_between_snapshot_and_update_lose_nothing(migrated_database: Database) -> None:
    """A plain counter: each acknowledged transaction has raised it by one, or it was told that it could not."""
    migrated_database.execute(f"UPDATE {OLD} SET org_system_prompt = '0'")
    stop, acknowledged, wrong = threading.Event(), [0], list[str]()
    guard = threading.Lock()
    raising = f"UPDATE {OLD} SET org_system_prompt = (org_system_prompt::integer + 1)::text"

    def work(level: str, pause: float) -> None:
        with psycopg.connect(migrated_database.url, autocommit=True) as connection:
            while not stop.is_set():
                try:
                    connection.execute(f"BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM user_profiles")
                    time.sleep(pause)
                    rows = connection.execute(raising).rowcount
                    connection.execute("COMMIT")
                    with guard:
                        acknowledged[0] += 1
                        wrong.extend([f"{rows} rows at {level}"] if rows != 40 else [])
                except psycopg.Error as error:
                    connection.execute("ROLLBACK")
                    if error.sqlstate not in ("40001", "40P01"):
                        wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(level, pause)) for level in LEVELS for pause in (0.05, 0.7)]
    for thread in threads:
        thread.start()
    try:
        with running(migrated_database.url) as run:
            for go in (back, forth, back):
                go(run)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert migrated_database.query(f"SELECT DISTINCT org_system_prompt FROM {OLD}") == [(str(acknowledged[0]),)]


def test_d5_role_that_may_not_read_others_statistics_waits_for_their_snapshots_all_the_same(
    migrated_database: Database,
) -> None:
    session = migrated_database.admin(application_name="dba")
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM user_profiles")
    with running(migrated_database.url, lock_attempts=2) as run, pytest.raises(LockTimeoutError) as caught:
        back(run)
    (named,) = caught.value.complaints
    assert f"pid {session.info.backend_pid} (" in named
    session.execute("ROLLBACK")
