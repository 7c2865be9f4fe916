"""Locks: bounded waits, retries, a report of who is in the way; an unchanged database where they were not to be had."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from aicfg_pipeline.errors import AlreadyRunningError, ConnectionLostError, LockTimeoutError
from aicfg_pipeline.postgres import locks as postgres_locks
from aicfg_pipeline.postgres.locks import BlockerWatch
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.lock import RUN_LOCK, take_run_lock
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.tables import swap as swap_module
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.planning import planned, unchanged
from aicfg_pipeline_tests.tools.servers import Database
from aicfg_pipeline_tests.tools.writers import Writers

NEW, OLD = "ai_cfg_org_prompts", "org_prompt_engineering"


def prepare(run: Run) -> None:
    """Everything before the cut-over."""
    lifecycle.begin(run, "rollback")
    for pair in run.migration.pairs:
        copy_back(run, pair.old)
    compare(run)


def released(connection: psycopg.Connection, seconds: float, statement: str = "ROLLBACK") -> threading.Timer:
    """End a connection's transaction after a while."""
    timer = threading.Timer(seconds, lambda: connection.execute(statement))
    timer.start()
    return timer


@contextmanager
def held(database: Database, statement: str, name: str = "nightly report") -> Iterator[psycopg.Connection]:
    """A session of somebody else's that is idle in a transaction which has run the statement."""
    holder = database.connect(application_name=name)
    holder.execute(f"BEGIN; {statement}")
    yield holder
    if not holder.closed:
        holder.execute("ROLLBACK")


# --- who stands in the way -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT count(*) FROM {NEW}",
        f"SELECT count(*) FROM {OLD}",
        f"UPDATE {NEW} SET response_tone = response_tone",
        f"LOCK TABLE {NEW} IN SHARE MODE",
        "UPDATE auth.users SET email = email",
    ],
    ids=["reader", "reader_through_the_view", "writer", "explicit_lock", "writer_of_a_referenced_table"],
)
def test_cut_over_names_who_is_in_the_way_and_leaves_the_database_as_it_was(
    migrated_database: Database, statement: str
) -> None:
    lines: list[str] = []
    with running(migrated_database.url, lock_attempts=2, say=lines.append) as run:
        prepare(run)
        with held(migrated_database, statement) as holder, unchanged_schema(migrated_database):
            with pytest.raises(LockTimeoutError) as caught:
                cut_over(run)
            (named,) = caught.value.complaints
            assert holder.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        cut_over(run)  # and with the way free, it goes on
    pid = holder.info.backend_pid
    assert named.startswith(f"in the way: pid {pid} (postgres, nightly report, idle in transaction, since 20")
    assert f"UTC): BEGIN; {statement}" in named
    assert "the locks were not to be had in 2 attempts. The database is as it was before" in caught.value.found
    assert "terminate_blockers: true" in str(caught.value)
    assert [line for line in lines if line.startswith(f"cut over: waiting for pid {pid} ")] != []
    assert migrated_database.exists(OLD) == "r"


@contextmanager
def unchanged_schema(database: Database) -> Iterator[None]:
    """Structure (our private schema's too) and the rows of public tables are the same after; no lock is waited for."""
    catalog = "SELECT oid, relname, relnamespace, relkind, relchecks, relhastriggers FROM pg_class ORDER BY oid"
    before = database.query(catalog)
    yield
    assert database.query(catalog) == before


def test_the_report_says_which_locks_are_held(migrated_database: Database) -> None:
    with running(migrated_database.url, lock_attempts=1) as run:
        prepare(run)
        writing = held(migrated_database, f"UPDATE {NEW} SET response_tone = response_tone")
        with writing, pytest.raises(LockTimeoutError, match=rf"RowExclusiveLock on public.{NEW}"):
            cut_over(run)


def test_bystanders_are_not_named(migrated_database: Database) -> None:
    """The change log's trigger waits for writers; a reader holds a lock on the table too and is not in its way."""
    with (
        running(migrated_database.url, lock_attempts=1) as run,
        held(migrated_database, f"SELECT count(*) FROM {NEW}", "reader"),
        held(migrated_database, f"UPDATE {NEW} SET response_tone = response_tone", "writer") as writer,
    ):
        lifecycle.begin(run, "rollback")
        with unchanged_schema(migrated_database), pytest.raises(LockTimeoutError) as caught:
            copy_back(run, OLD)
    assert [c.split(",")[0] for c in caught.value.complaints] == [
        f"in the way: pid {writer.info.backend_pid} (postgres"
    ]


def test_trigger_creation_does_not_wait_for_readers(migrated_database: Database) -> None:
    with (
        running(migrated_database.url, lock_attempts=1) as run,
        held(migrated_database, f"SELECT count(*) FROM {NEW}"),
    ):
        lifecycle.begin(run, "rollback")
        assert copy_back(run, OLD)["rows"] == 40


def test_trigger_creation_leaves_nothing_behind_when_locked_out(migrated_database: Database) -> None:
    with running(migrated_database.url, lock_attempts=1) as run:
        lifecycle.begin(run, "rollback")
        holder = migrated_database.connect()
        with unchanged(migrated_database):
            holder.execute(f"BEGIN; UPDATE {NEW} SET response_tone = response_tone")
            with pytest.raises(LockTimeoutError, match=f"{OLD}: change log: the locks were not to be had"):
                copy_back(run, OLD)
            holder.execute("ROLLBACK")


def test_lock_that_is_given_back_in_time_is_only_a_retry(migrated_database: Database) -> None:
    holder = migrated_database.connect(application_name="nightly report")

    def say(line: str) -> None:
        if line.startswith("cut over: waiting for"):
            holder.execute("ROLLBACK")

    with running(migrated_database.url, say=say) as run:
        prepare(run)
        holder.execute(f"BEGIN; SELECT count(*) FROM {NEW}")
        facts = cut_over(run)
    assert facts["lock_attempts"] == 2
    assert [b.split(" ")[1] for b in facts["blockers"]] == [str(holder.info.backend_pid)]
    assert facts["locks_held_ms"] < 500


# --- bounded waits ---------------------------------------------------------------------------------------------


def longest(database: Database, statement: str, work: Callable[[], object]) -> float:
    """Return how long the slowest of many statements took while the work ran, in milliseconds."""
    slowest, stop = 0.0, threading.Event()

    def ask() -> None:
        nonlocal slowest
        with psycopg.connect(database.url, autocommit=True) as connection:
            while not stop.is_set():
                began = time.monotonic()
                connection.execute(statement)
                slowest = max(slowest, (time.monotonic() - began) * 1000)
                time.sleep(0.005)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        work()
    finally:
        stop.set()
        thread.join()
    return slowest


def test_others_wait_behind_us_for_no_longer_than_one_attempt(migrated_database: Database) -> None:
    with running(migrated_database.url, lock_attempts=2) as run:
        prepare(run)

        def locked_out() -> None:
            with pytest.raises(LockTimeoutError):
                cut_over(run)

        with held(migrated_database, f"SELECT count(*) FROM {OLD}"):
            waited = longest(migrated_database, f"SELECT count(*) FROM {OLD}", locked_out)
    assert 300 < waited < 900


def test_writer_of_parent_then_child_never_gets_a_deadlock_because_of_us(migrated_database: Database) -> None:
    """He holds the parent and wants the child; we want the parent for the foreign keys and the child for the swap."""
    errors: list[Exception] = []
    stop = threading.Event()

    def write(first: str, second: str) -> None:
        with psycopg.connect(migrated_database.url, autocommit=True) as connection:
            while not stop.is_set():
                try:
                    connection.execute("BEGIN")
                    connection.execute(first)
                    time.sleep(0.35)
                    connection.execute(second)
                    connection.execute("COMMIT")
                except psycopg.Error as error:
                    errors.append(error)
                    connection.execute("ROLLBACK")

    parent = "UPDATE orgs SET name = name WHERE id = (SELECT min(id::text)::uuid FROM orgs)"
    user = "UPDATE auth.users SET email = email WHERE id = (SELECT min(id::text)::uuid FROM auth.users)"
    child = f"UPDATE {OLD} SET response_tone = response_tone WHERE id = (SELECT min(id::text)::uuid FROM {NEW})"
    through = f"UPDATE {OLD} SET response_tone = response_tone WHERE org_id = (SELECT min(id::text)::uuid FROM orgs)"
    with running(migrated_database.url, lock_attempts=3) as run:
        prepare(run)
        threads = [threading.Thread(target=write, args=pair) for pair in ((parent, child), (user, through))]
        threads.append(threading.Thread(target=write, args=(child, user)))
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                try:
                    cut_over(run)
                    break
                except LockTimeoutError:
                    continue
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    deadlocks = [e for e in errors if getattr(e, "sqlstate", None) == "40P01"]
    assert deadlocks == []


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("orgs", "UPDATE orgs SET name = name WHERE false"),
        ("orgs", "SELECT count(*) FROM orgs"),
        ("auth.users", "UPDATE auth.users SET email = email WHERE false"),
        (OLD, f"SELECT count(*) FROM {OLD}"),
    ],
)
def test_o11_nobody_queues_while_somebody_is_idle_in_a_transaction_that_wrote_to_a_referred_table(
    migrated_database: Database, table: str, statement: str
) -> None:
    """He is seen before anything is asked for, so neither his table's users nor ours wait behind us."""
    holding = f"UPDATE {'orgs' if table == OLD else table} SET created_at = created_at"
    with running(migrated_database.url, lock_attempts=4) as run:
        prepare(run)

        def locked_out() -> None:
            with pytest.raises(LockTimeoutError, match="nightly report"):
                cut_over(run)

        with held(migrated_database, holding):
            waited = longest(migrated_database, statement, locked_out)
    assert waited < 150  # 50 ms, and this machine's own doings


@pytest.mark.parametrize("table", ["orgs", "auth.users"])
def test_o11_reader_of_a_referred_table_leaves_only_the_parked_key_open(
    migrated_database: Database, table: str
) -> None:
    """The rollback is through; the parked table's key comes off with the next run, and `verify` says so until then."""
    lines: list[str] = []
    with running(migrated_database.url, lock_attempts=3, say=lines.append) as run:
        prepare(run)
        with held(migrated_database, f"SELECT count(*) FROM {table}"):
            waited = longest(migrated_database, f"SELECT count(*) FROM {table}", lambda: cut_over(run))
            (told,) = [r for r in checked(run) if r.severity == "WARN"]
        assert "Open: ai_cfg_org_prompts_" in told.summary
        assert f"still refers to {table if '.' in table else 'public.' + table}" in told.summary
        assert waited < 150
        assert [line for line in lines if "OPEN: still on the parked table: ai_cfg_" in line] != []
        cut_over(run)
        assert [r for r in checked(run) if r.severity == "WARN"] == []
    assert parked_keys(migrated_database) == 0


def checked(run: Run) -> list[Any]:
    """The failed outcomes of the check `references` of the table that refers to both."""
    results = verify.run_checks(run.session, run.migration)
    return [r for r in results if r.name == "references" and r.pair == OLD and not r.passed]


def parked_keys(database: Database) -> int:
    query = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'aicfg_rollback'::regnamespace"
    return int(database.query(query)[0][0])


def test_o11_the_ledger_has_how_long_users_of_referred_tables_may_have_waited(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        prepare(run)
        assert cut_over(run)["bystanders_ms"] < 1000
    query = "SELECT (facts ->> 'bystanders_ms')::float FROM aicfg_rollback.ledger WHERE step = 'cut_over'"
    for (waited,) in migrated_database.query(query):
        assert 0 < waited < 1000


def test_waits_stay_below_a_deadlock_timeout_that_is_set_lower(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    admin.execute(f"ALTER DATABASE {migrated_database.name} SET deadlock_timeout = '300ms'")
    with running(migrated_database.url, lock_attempts=1) as run:
        prepare(run)

        def locked_out() -> None:
            with pytest.raises(LockTimeoutError):
                cut_over(run)

        with held(migrated_database, f"SELECT count(*) FROM {OLD}"):
            waited = longest(migrated_database, f"SELECT count(*) FROM {OLD}", locked_out)
    assert 100 < waited < 300


def test_looking_never_waits_for_a_lock(migrated_database: Database) -> None:
    with running(migrated_database.url) as run, held(migrated_database, f"LOCK TABLE {NEW}"):
        began = time.monotonic()
        states = run.look().summary
    assert (dict(states)[OLD], time.monotonic() - began < 1.0) == ("migrated", True)


def test_writers_go_on_through_a_whole_rollback_with_readers_in_the_way(migrated_database: Database) -> None:
    with Writers(migrated_database.url, threads=3, pause=0.002) as writers, running(migrated_database.url) as run:
        prepare(run)
        with held(migrated_database, f"SELECT count(*) FROM {OLD}") as reader:
            timer = released(reader, 0.9)
            cut_over(run)
            timer.join()
        writers.wait_for(20)
    assert (writers.errors, writers.verify(migrated_database.connect())) == ([], [])


# --- idle in transaction ---------------------------------------------------------------------------------------


def test_idle_session_is_ended_only_if_the_operator_said_so(migrated_database: Database) -> None:
    lines: list[str] = []
    with running(migrated_database.url, terminate_blockers=True, say=lines.append) as run:
        prepare(run)
        with held(migrated_database, f"SELECT count(*) FROM {NEW}") as holder:
            pid = holder.info.backend_pid
            cut_over(run)
            with pytest.raises(psycopg.OperationalError):
                holder.execute("SELECT 1")
    (line,) = [line for line in lines if "terminate_blockers" in line]
    assert line.startswith(f"cut over: ended pid {pid} (postgres, nightly report, idle in transaction, ")
    assert migrated_database.exists(OLD) == "r"


def test_session_that_works_is_never_ended(migrated_database: Database) -> None:
    worker = migrated_database.connect(application_name="busy")
    worker.execute(f"BEGIN; SELECT count(*) FROM {NEW}")
    thread = threading.Thread(target=lambda: worker.execute("SELECT pg_sleep(3.5)"))
    with running(migrated_database.url, terminate_blockers=True, lock_attempts=3) as run:
        prepare(run)
        thread.start()
        with pytest.raises(LockTimeoutError, match=r"postgres, busy, active, since"):
            cut_over(run)
        thread.join()
    assert worker.execute("SELECT 1").fetchone() == (1,)


def test_session_that_is_idle_for_a_moment_is_not_ended(migrated_database: Database) -> None:
    with running(migrated_database.url, terminate_blockers=True, lock_attempts=1) as run:
        prepare(run)
        with held(migrated_database, f"SELECT count(*) FROM {NEW}") as holder:
            with pytest.raises(LockTimeoutError):
                cut_over(run)
            assert holder.execute("SELECT 1").fetchone() == (1,)


def test_idle_session_that_we_may_not_end_is_named_with_the_reason(migrated_database: Database) -> None:
    lines: list[str] = []
    admin = migrated_database.admin(application_name="dba")
    migrated_database.admin().execute("GRANT pg_read_all_stats TO postgres")
    try:
        with running(migrated_database.url, terminate_blockers=True, lock_attempts=4, say=lines.append) as run:
            prepare(run)
            admin.execute(f"BEGIN; SELECT count(*) FROM {NEW}")
            with pytest.raises(LockTimeoutError, match="dba, idle in transaction"):
                cut_over(run)
            admin.execute("ROLLBACK")
    finally:
        migrated_database.admin().execute("REVOKE pg_read_all_stats FROM postgres")
    assert [line for line in lines if "can't be ended" in line and "permission denied" in line] != []


def test_pipeline_that_is_not_heard_of_any_more_gives_its_locks_back(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was cut without either end being told would keep them until TCP gives up, two hours later."""
    monkeypatch.setattr(postgres_locks, "SILENCE_UNDER_LOCKS_MS", 200)
    row = swap_module._row

    def silent(*arguments: Any) -> Any:
        time.sleep(1.5)
        return row(*arguments)

    monkeypatch.setattr(swap_module, "_row", silent)

    def cut_off() -> None:
        with pytest.raises(ConnectionLostError, match="Run the same job again"):
            cut_over(run)

    with running(migrated_database.url) as run:
        prepare(run)
        with unchanged(migrated_database):
            waited = longest(migrated_database, f"UPDATE {OLD} SET response_tone = 'casual' WHERE false", cut_off)
    assert waited < 900


# --- vacuum ----------------------------------------------------------------------------------------------------


def bloat(database: Database, table: str = NEW) -> None:
    """Give a vacuum something to do for a while."""
    database.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    for _ in range(30):
        database.execute(f"UPDATE {table} SET custom_system_prompt = repeat(md5(random()::text), 60)")


SLOW = "SET vacuum_cost_delay = '100ms'; SET vacuum_cost_limit = 1; SET vacuum_cost_page_dirty = 200"


def vacuuming(database: Database, table: str = NEW) -> psycopg.Connection:
    """A slowed VACUUM by hand that is under way; it runs for a few seconds unless it is ended."""
    worker = database.connect(application_name="by hand")
    worker.execute(SLOW)

    def vacuum() -> None:
        with suppress(psycopg.Error):  # it is cancelled in the end
            worker.execute(f"VACUUM {table}")

    threading.Thread(target=vacuum, daemon=True).start()
    query = "SELECT 1 FROM pg_stat_progress_vacuum WHERE pid = %s"
    deadline, admin = time.monotonic() + 5, database.admin()
    while not admin.execute(query, (worker.info.backend_pid,)).fetchone():
        assert time.monotonic() < deadline, "the vacuum has not begun"
        time.sleep(0.01)
    return worker


def test_vacuum_by_hand_is_waited_out_without_holding_anyone_up(migrated_database: Database) -> None:
    bloat(migrated_database)
    lines: list[str] = []
    with running(migrated_database.url, lock_attempts=1, say=lines.append) as run:
        prepare(run)
        worker = vacuuming(migrated_database)

        def locked_out() -> None:
            with pytest.raises(LockTimeoutError, match=f"pid {worker.info.backend_pid} .postgres, by hand, active"):
                cut_over(run)

        waited = longest(migrated_database, f"UPDATE {OLD} SET response_tone = 'casual' WHERE false", locked_out)
        still = migrated_database.admin().execute(
            "SELECT count(*) FROM pg_stat_progress_vacuum WHERE pid = %s", (worker.info.backend_pid,)
        )
        assert still.fetchone() == (1,)  # it was not ended
        assert waited < 400  # and no strong lock was asked for while it ran
        migrated_database.admin().execute("SELECT pg_cancel_backend(%s)", (worker.info.backend_pid,))
        cut_over(run)
    kind = "a vacuum, analyze or the like by postgres"
    assert f"public.{NEW}: {kind} is in progress (pid {worker.info.backend_pid}); waiting for it" in lines


def test_autovacuum_gives_way(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    bloat(migrated_database)
    lines: list[str] = []
    with running(migrated_database.url, say=lines.append) as run:
        prepare(run)
        try:
            admin.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
            admin.execute("SELECT pg_reload_conf()")
            migrated_database.execute(
                f"ALTER TABLE {NEW} SET (autovacuum_enabled = true, autovacuum_vacuum_threshold = 1,"
                " autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100,"
                " autovacuum_vacuum_cost_limit = 1)"
            )
            query = (
                "SELECT a.pid FROM pg_stat_activity a JOIN pg_stat_progress_vacuum v USING (pid)"
                f" WHERE a.backend_type = 'autovacuum worker' AND v.relid = '{NEW}'::regclass"
            )
            deadline = time.monotonic() + 15
            while not (found := admin.execute(query).fetchone()):
                assert time.monotonic() < deadline, "no autovacuum has begun"
                time.sleep(0.05)
            began = time.monotonic()
            cut_over(run)
            took = time.monotonic() - began
        finally:
            admin.execute("ALTER SYSTEM RESET autovacuum_naptime")
            admin.execute("SELECT pg_reload_conf()")
    assert f"public.{NEW}: an autovacuum is in progress (pid {found[0]}); waiting for it" in lines
    assert took < 5, (took, lines)
    assert migrated_database.exists(OLD) == "r"


# --- the watch itself ------------------------------------------------------------------------------------------


def test_watch_sees_nobody_while_nobody_blocks(migrated_database: Database) -> None:
    other, mine = connect(migrated_database.url), connect(migrated_database.url)
    with BlockerWatch(other, mine.connection.info.backend_pid, []) as watch:
        time.sleep(0.3)
        assert watch.taken() == ([], [])
    other.close()
    mine.close()


def test_step_goes_on_where_the_watch_has_lost_its_connection(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        stop = threading.Event()

        def shoot() -> None:
            admin = migrated_database.admin()
            while not stop.wait(0.02):
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'aicfg_pipeline observer' AND datname = current_database()"
                    " AND state_change < clock_timestamp() - interval '30 ms'"
                )

        prepare(run)
        thread = threading.Thread(target=shoot)
        with held(migrated_database, f"SELECT count(*) FROM {NEW}") as holder:
            timer = released(holder, 0.8)
            thread.start()
            try:
                cut_over(run)
            finally:
                stop.set()
                thread.join()
            timer.join()
    assert migrated_database.exists(OLD) == "r"


def test_l6_terminate_blockers_says_where_it_can_not_see_the_state_of_others(migrated_database: Database) -> None:
    lines: list[str] = []
    with running(migrated_database.url, terminate_blockers=True, lock_attempts=2, say=lines.append) as run:
        prepare(run)
        with migrated_database.admin() as stranger:  # a superuser: nobody but one sees what he does
            stranger.execute(f"BEGIN; SELECT count(*) FROM {NEW}")
            with pytest.raises(LockTimeoutError):
                cut_over(run)
            pid = stranger.info.backend_pid
    told = [line for line in lines if "terminate_blockers can't tell" in line]
    assert told
    assert f"pid {pid} " in told[0]
    assert "pg_read_all_stats" in told[0]


def test_s6_a_run_lock_that_no_run_holds_is_told_as_such_with_who_has_it_and_how_to_end_it(
    migrated_database: Database,
) -> None:
    with migrated_database.admin() as admin:
        admin.execute("DROP ROLE IF EXISTS anybody; CREATE ROLE anybody LOGIN")
    url = migrated_database.url.replace("postgres@", "anybody@")
    with psycopg.connect(url, autocommit=True, application_name="aicfg_pipeline pretended") as holder:
        holder.execute("SELECT pg_advisory_lock(%(class)s, %(key)s)", RUN_LOCK)
        pid = holder.info.backend_pid
        with pytest.raises(AlreadyRunningError, match="a session that is no run of this pipeline") as caught:
            take_run_lock(connect(migrated_database.url))
        assert f"pid {pid} as anybody (aicfg_pipeline pretended)" in caught.value.found
        assert f"pg_terminate_backend({pid})" in str(caught.value.remedy)
        (hazard,) = [h for h in planned(migrated_database.url).hazards if h.code == "already_running"]
        assert hazard.found == caught.value.found
    with migrated_database.admin() as admin:
        admin.execute("DROP ROLE anybody")
