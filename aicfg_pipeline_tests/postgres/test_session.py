"""The session: settings that hold inside transactions, and errors that say what happened and never a password."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

import aicfg_pipeline
from aicfg_pipeline.errors import (
    ConnectionLostError,
    DatabaseError,
    LockTimeoutError,
    PipelineError,
    TimedOutError,
    UnreachableError,
)
from aicfg_pipeline.postgres.address import secrets_of, shown
from aicfg_pipeline.postgres.locks import take_locks
from aicfg_pipeline.postgres.session import Session, connect
from aicfg_pipeline.postgres.settings import PINNED
from aicfg_pipeline.rollback.lock import take_run_lock
from aicfg_pipeline_tests.tools import servers as tools
from aicfg_pipeline_tests.tools.pooler import Pooler
from aicfg_pipeline_tests.tools.servers import Database

SECRET = "hunter2-s3cret"


@pytest.fixture
def session(empty_database: Database) -> Iterator[Session]:
    opened = connect(empty_database.url)
    yield opened
    opened.close()


def setting(session: Session, name: str) -> str:
    return str(session.scalar("SELECT current_setting(%s)", (name,)))


# --- settings --------------------------------------------------------------------------------------------------


def settings(session: Session) -> dict[str, str]:
    return {name: setting(session, name) for name in PINNED if name in session.known}


@pytest.mark.every_version
def test_settings_are_pinned_outside_and_inside_transactions_whatever_role_and_database_say(
    empty_database: Database,
) -> None:
    """O8, O12, D7: what is not pinned outside is whatever somebody has set for the role."""
    admin = empty_database.admin()
    odd = {"DateStyle": "German", "TimeZone": "Asia/Tokyo", "statement_timeout": "200ms", "array_nulls": "off",
           "search_path": "auth", "lock_timeout": "1ms", "default_transaction_isolation": "serializable"}  # fmt: skip
    for name, value in odd.items():
        admin.execute(f"ALTER ROLE postgres IN DATABASE {empty_database.name} SET {name} = '{value}'")
    session = connect(empty_database.url)
    expected = {name: value for name, value in PINNED.items() if name in session.known}
    assert len(PINNED) - len(expected) <= 2  # transaction_timeout and another are not on every version
    outside = settings(session), setting(session, "search_path"), setting(session, "lock_timeout")
    assert outside == (expected, "pg_catalog, pg_temp", "0")
    session.execute("SET DateStyle = 'SQL, DMY'; SET array_nulls = off")  # as a block of the migration's files may
    with session.transaction():
        inside = settings(session), setting(session, "search_path"), setting(session, "lock_timeout")
    assert inside == (expected, "pg_catalog, pg_temp", "1200ms")
    session.close()


def test_connecting_costs_one_round_trip_more_than_the_login(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    execute = psycopg.Connection.execute
    monkeypatch.setattr(psycopg.Connection, "execute", lambda *a, **k: (asked.append(a), execute(*a, **k))[1])
    connect(empty_database.url).close()
    assert len(asked) == 1


def test_settings_hold_behind_a_transaction_pooler_and_leave_nothing_to_others(migrated_database: Database) -> None:
    with Pooler(migrated_database, size=3, order="fifo") as pooler:
        session = connect(pooler.url)
        for _ in range(4):
            with session.transaction(search_path=("public",)):
                assert (setting(session, "TimeZone"), setting(session, "search_path")) == ("UTC", "public, pg_temp")
            assert (setting(session, "DateStyle"), setting(session, "search_path")) == (
                "ISO, YMD",
                "pg_catalog, pg_temp",
            )
        session.close()
        with psycopg.connect(pooler.url, autocommit=True) as other:
            for _ in range(3):
                assert other.execute("SHOW search_path").fetchone() == ('"$user", public',)


def test_settings_hold_behind_a_session_pooler_once_the_run_lock_is_had(migrated_database: Database) -> None:
    with Pooler(migrated_database, size=8, mode="session") as pooler:
        session = connect(pooler.url)
        assert not session.pinned
        take_run_lock(session)
        assert session.pinned
        assert settings(session)["DateStyle"] == "ISO, YMD"
        session.close()


def test_snapshot_is_one_snapshot_and_first_comes_before_it(migrated_database: Database, session: Session) -> None:
    session = connect(migrated_database.url)
    with session.transaction(snapshot=True, search_path=("public",)):
        before = session.scalar("SELECT count(*) FROM orgs")
        migrated_database.execute("INSERT INTO orgs (name) VALUES ('later')")
        assert session.scalar("SELECT count(*) FROM orgs") == before
    assert session.scalar("SELECT count(*) FROM public.orgs") == before + 1
    session.close()


def test_read_only_transaction_can_not_write(session: Session) -> None:
    with pytest.raises(DatabaseError, match="read-only transaction") as caught, session.transaction(read_only=True):
        session.execute("CREATE TABLE public.x ()")
    assert caught.value.sqlstate == "25006"  # type: ignore[attr-defined]


def test_database_that_is_read_only_by_default_stays_so(empty_database: Database) -> None:
    session = connect(empty_database.admin_url)
    session.execute("SET default_transaction_read_only = on")
    with pytest.raises(DatabaseError, match="read-only"), session.transaction():  # the plan reports it as `replica`
        session.execute("CREATE TABLE public.x ()")
    session.close()


def test_exception_rolls_back_and_leaves_the_session_usable(session: Session) -> None:
    with pytest.raises(ZeroDivisionError), session.transaction():  # noqa: PT012
        session.execute("CREATE TEMP TABLE x ()")
        raise ZeroDivisionError
    assert session.scalar("SELECT to_regclass('x')") is None


def test_long_transaction_is_not_ended_by_the_servers_timeouts(empty_database: Database) -> None:
    admin = empty_database.admin()
    for name in ("transaction_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        admin.execute(f"ALTER DATABASE {empty_database.name} SET {name} = '150ms'")
    session = connect(empty_database.url)
    with session.transaction():
        session.execute("SELECT pg_sleep(0.25)")
        time.sleep(0.25)
        assert session.scalar("SELECT 1") == 1
    session.close()


def test_statements_are_recorded_without_their_values(session: Session) -> None:
    session.recording = True
    session.execute("SELECT   %(a)s::text", {"a": SECRET})
    session.scalar("SELECT 1")  # what only looks is in no ledger
    assert [s.sql for s in session.journal] == ["SELECT %(a)s::text"]


# --- secrets ---------------------------------------------------------------------------------------------------

URLS = [
    f"postgresql://u:{SECRET}@127.0.0.1:1/d",
    f"postgresql://u:{SECRET}@nowhere.invalid/d",
    f"postgresql://u:{SECRET}@127.0.0.1:notaport/d",
    f"postgresql://u:{SECRET}@127.0.0.1:1/d?sslmode=nonsense",
    f"postgresql://u:{SECRET}@127.0.0.1:1/d?nonsense=1",
    f"postgresql://u:{SECRET}@[::1/d",
    f"postgresql://u:{SECRET}",
    f"postgresql://u:{SECRET}@",
    f"postgresql://u:{SECRET}@127.0.0.1:99999999/d",
    f"postgresql://u:pa%zz{SECRET}@127.0.0.1:1/d",
    f"postgresql://u:{SECRET}@h@127.0.0.1:1/d",
    f"postgresql://u:{SECRET} with space@127.0.0.1:1/d",
    f"postgresql://127.0.0.1:1/d?user=u&password={SECRET}",
    f"postgresql:/u:{SECRET}@127.0.0.1/d",
    f"postgres//u:{SECRET}@127.0.0.1/d",
    f"mysql://u:{SECRET}@127.0.0.1:1/d",
    f"host=127.0.0.1 port=1 user=u password={SECRET} dbname=d",
    f"host=127.0.0.1 port=1 user=u password='{SECRET} and more' dbname=d",
    f"host=127.0.0.1 port=1 password={SECRET} nonsense",
    f"host=127.0.0.1 port=1 password='{SECRET}",
    f"host=127.0.0.1 port=1 pasword={SECRET}",
    f"u:{SECRET}@127.0.0.1",
    f"{SECRET}",
    f"postgresql://u:{quote('p@ss/' + SECRET + ':#?')}@127.0.0.1:1/d",
    f"postgresql://u:p@ss/{SECRET}@127.0.0.1:1/d",
    f"postgresql://u:{SECRET}#x@127.0.0.1:1/d",
    f"postgresql://u:{SECRET}\x00@127.0.0.1:1/d",
]


@pytest.mark.parametrize("url", URLS)
def test_url_that_does_not_work_is_an_unreachable_server_and_shows_no_secret(url: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        connect(url)
    told = f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {shown(url)}"
    assert SECRET not in told
    assert "AICFG_DATABASE_URL" in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_wrong_password_over_tcp_is_not_repeated(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    hba = admin.execute("SHOW hba_file").fetchone()
    assert hba is not None
    url = migrated_database.cluster.tcp_url("postgres", migrated_database.name, SECRET)
    with pytest.raises(UnreachableError, match="password authentication failed") as caught:
        connect(url)
    assert SECRET not in f"{caught.value}{caught.value!r}"
    assert "as postgres" in caught.value.found


def test_right_password_over_tcp_works_and_is_in_no_later_error(migrated_database: Database) -> None:
    session = connect(migrated_database.tcp_url)
    with pytest.raises(DatabaseError) as caught:
        session.execute(f"SELECT '{tools.PASSWORD}'::integer")
    session.close()
    assert tools.PASSWORD not in str(caught.value)
    assert 'type integer: "…"' in str(caught.value)  # a value is never repeated, whatever it is


def test_missing_database_and_role_are_named(migrated_database: Database) -> None:
    with pytest.raises(UnreachableError, match='database "nowhere" does not exist'):
        connect(migrated_database.url.replace(migrated_database.name, "nowhere"))


@pytest.mark.parametrize("secret", ["p@ss", "p/ss:x", "p ss", "pä55", "100%"])
def test_secrets_are_known_as_written_and_decoded(secret: str) -> None:
    url = f"postgresql://u:{quote(secret, safe='')}@h/d"
    assert secret in secrets_of(url)
    assert secret not in shown(url)


# --- what an error becomes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "kind", "state"),
    [
        ("SELECT 1/0", DatabaseError, "22012"),
        ("SELECT nonsense", DatabaseError, "42703"),
        ("SELEC", DatabaseError, "42601"),
        ("SET statement_timeout = 20; SELECT pg_sleep(1)", TimedOutError, "57014"),
        ("DO $$ BEGIN RAISE 'x' USING ERRCODE = '40P01'; END $$", LockTimeoutError, "40P01"),
        ("DO $$ BEGIN RAISE 'x' USING ERRCODE = '55P03'; END $$", LockTimeoutError, "55P03"),
        ("DO $$ BEGIN RAISE 'x' USING ERRCODE = '40001'; END $$", DatabaseError, "40001"),
    ],
)
def test_sqlstate_decides_what_an_error_is(
    session: Session, statement: str, kind: type[PipelineError], state: str
) -> None:
    with pytest.raises(PipelineError) as caught:
        session.execute(statement)
    assert (type(caught.value), caught.value.sqlstate) == (kind, state)  # type: ignore[attr-defined]


def test_lock_that_is_not_to_be_had_is_a_lock_timeout(migrated_database: Database) -> None:
    session, holder = connect(migrated_database.url), migrated_database.connect()
    holder.execute("BEGIN; LOCK TABLE orgs")
    with pytest.raises(LockTimeoutError, match="A lock was not to be had"), session.transaction(lock_timeout_ms=50):
        session.execute("SELECT count(*) FROM public.orgs")
    assert session.scalar("SELECT 1") == 1
    session.close()


def test_time_limit_of_a_lock_is_told_from_that_of_anything_else(migrated_database: Database) -> None:
    """O12: the SQLSTATE of both is 57014."""
    session, holder = connect(migrated_database.url), migrated_database.connect()
    holder.execute("BEGIN; LOCK TABLE orgs")
    lock = sql.SQL("LOCK TABLE public.orgs")
    with pytest.raises(LockTimeoutError, match="A lock was not to be had"), session.transaction():
        take_locks(session, [lock])
    limited = session.transaction(settings={"statement_timeout": "20"})
    with pytest.raises(TimedOutError, match="ended a statement before it was done") as caught, limited:
        session.execute("SELECT pg_sleep(1)")
    assert "lock" not in str(caught.value)
    session.close()


def test_statement_that_a_person_cancels_is_not_taken_for_a_lock_timeout(empty_database: Database) -> None:
    """Else it would be tried again, 25 times, against the will of whoever cancelled it."""
    session, admin = connect(empty_database.url), empty_database.admin()
    pid = session.connection.info.backend_pid
    threading.Timer(0.2, lambda: admin.execute("SELECT pg_cancel_backend(%s)", (pid,))).start()
    with pytest.raises(DatabaseError, match="Someone cancelled the statement on the server"):
        session.execute("SELECT pg_sleep(5)")
    session.close()


@pytest.mark.parametrize("how", ["SELECT pg_terminate_backend(%s)", "timeout"])
def test_connection_that_breaks_says_that_the_same_job_goes_on(empty_database: Database, how: str) -> None:
    session, admin = connect(empty_database.url), empty_database.admin()
    with pytest.raises(ConnectionLostError, match="Run the same job again") as caught, session.transaction():  # noqa: PT012
        if how == "timeout":
            session.execute("SET LOCAL idle_in_transaction_session_timeout = '30ms'")
            time.sleep(0.15)
        else:
            admin.execute(how, (session.connection.info.backend_pid,))
        session.execute("SELECT 1")
    assert caught.value.code == "connection_lost"
    with pytest.raises(ConnectionLostError):
        session.execute("SELECT 1")


def test_mistake_in_this_program_stays_an_ordinary_exception(session: Session) -> None:
    with pytest.raises(psycopg.ProgrammingError):
        session.execute("SELECT %(a)s", {"b": 1})


def test_a_connection_that_breaks_at_the_end_of_a_savepoint_is_told_as_one(empty_database: Database) -> None:
    session = connect(empty_database.url)
    pid = session.connection.info.backend_pid
    with pytest.raises(ConnectionLostError), session.transaction(), session.savepoint():
        empty_database.admin().execute("SELECT pg_terminate_backend(%s)", (pid,))


def test_savepoints_are_made_where_the_drivers_errors_are_translated() -> None:
    package = Path(aicfg_pipeline.__file__).parent
    raw = [p.name for p in package.rglob("*.py") if re.search(r"connection\.transaction\(", p.read_text("utf-8"))]
    assert raw == ["session.py"]
