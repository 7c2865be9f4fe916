"""One connection to the target: pinned settings, explicit transactions, bounded locks, the error boundary.

Every statement of the pipeline goes through `Session.execute`, so that each can be timed, recorded and, in tests,
interrupted. Settings are made with SET LOCAL inside each transaction, because a transaction pooler silently drops
any other kind. What the statements *do* does not belong here.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import namedtuple_row

from aicfg_pipeline.errors import (
    ConnectionLostError,
    DatabaseError,
    LockTimeoutError,
    PipelineError,
    UnreachableError,
    redact,
)
from aicfg_pipeline.postgres.statements import comma, engine, ident

PINNED = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "row_security": "off",  # silent filtering becomes an error
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
}
"""Settings that decide what a row looks like as text, or that would end our transactions half way."""

TRANSACTION_TIMEOUT_SINCE = 170_000

FIRST_LOCK_TIMEOUT_MS = 1_200
"""Longer than `deadlock_timeout` (1 s): only then does an autovacuum in progress give way."""

CUT_OVER_LOCK_TIMEOUT_MS = 600
"""Shorter than `deadlock_timeout`: while we hold one lock and wait for the next, no writer that waits for us can
be declared the deadlock's victim, because we are gone before its detector runs."""

SILENCE_MS, SILENCE_UNDER_LOCKS_MS = 10_000, 2_000
"""After so long without a word from us the server ends a transaction that writes. A connection that was cut without
either end being told (a laptop that sleeps, a firewall) would else keep its locks until TCP gives up, two hours later."""

LOCK_ATTEMPTS = 25
Query = sql.Composable | str


@dataclass
class Statement:
    """One executed statement: its text without values, and how long it took in milliseconds (None within a script)."""

    sql: str
    ms: float | None


@dataclass(frozen=True)
class Blocker:
    """A session that holds a lock we wait for."""

    pid: int
    user: str
    application: str
    state: str
    query_start: str
    query: str
    holds: str = ""

    def __str__(self) -> str:
        locks = f" [{self.holds}]" if self.holds else ""
        return (
            f"pid {self.pid} ({self.user}, {self.application or 'no application name'}, {self.state},"
            f" since {self.query_start}): {self.query}{locks}"
        )


@dataclass
class Session:
    """A connection in autocommit mode with explicit transactions. Use `connect` to make one."""

    connection: psycopg.Connection[Any]
    url: str
    journal: list[Statement] = field(default_factory=list)
    recording: bool = False

    # --- statements ----------------------------------------------------------------------------------------

    def execute(
        self, query: Query, params: Mapping[str, Any] | Sequence[Any] | None = None, *, note: bool = True
    ) -> psycopg.Cursor[Any]:
        """Run one statement (or, without parameters, several in one round trip) and return its cursor.

        While the session records, the statement is noted for the ledger, unless `note` is false.
        """
        composed: Any = sql.SQL(query) if isinstance(query, str) else query
        began = time.perf_counter()
        with server_errors(self.url):
            cursor = self.connection.execute(composed, params)
        if note:
            self.note([composed], (time.perf_counter() - began) * 1000)
        return cursor

    def script(self, statements: Sequence[sql.Composable], *, note: bool = True) -> None:
        """Run several statements without parameters in one round trip: what is done under a lock should not commute."""
        if statements:
            self.execute(sql.SQL(";\n").join(statements), note=False)
            if note:
                self.note(statements)

    def script_rows(self, statements: Sequence[sql.Composable]) -> list[Any]:
        """Run several statements in one round trip; return the last one's rows."""
        cursor = self.execute(sql.SQL(";\n").join(statements), note=False)
        self.note(statements)
        while cursor.nextset():
            pass
        return cursor.fetchall()

    def note(self, statements: Sequence[sql.Composable], ms: float | None = None) -> None:
        """Note statements for the ledger, where the session records."""
        if self.recording:
            rounded = None if ms is None else round(ms, 2)
            self.journal += [Statement(" ".join(s.as_string(self.connection).split()), rounded) for s in statements]

    def all(self, query: Query, params: Mapping[str, Any] | Sequence[Any] | None = None) -> list[Any]:
        """Return all rows as named tuples."""
        return self.execute(query, params).fetchall()

    def one(self, query: Query, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Any:
        """Return the first row as a named tuple, or None."""
        return self.execute(query, params).fetchone()

    def scalar(self, query: Query, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Any:
        """Return the first column of the first row, or None."""
        row = self.one(query, params)
        return row[0] if row else None

    # --- transactions --------------------------------------------------------------------------------------

    @contextmanager
    def transaction(
        self,
        *,
        snapshot: bool = False,
        read_only: bool = False,
        search_path: Sequence[str] = (),
        lock_timeout_ms: int = FIRST_LOCK_TIMEOUT_MS,
        settings: Mapping[str, str] | None = None,
        first: sql.Composable | None = None,
    ) -> Iterator[Session]:
        """Run a transaction; `snapshot` makes it REPEATABLE READ. Rolled back on any exception.

        `first` runs before anything that takes the snapshot: the place for LOCK TABLE.
        """
        mode = "BEGIN ISOLATION LEVEL " + ("REPEATABLE READ" if snapshot else "READ COMMITTED")
        self.execute(mode + (" READ ONLY" if read_only else ""))
        try:
            local = {**PINNED, "lock_timeout": f"{lock_timeout_ms}ms", **(settings or {})}
            if self.version >= TRANSACTION_TIMEOUT_SINCE:
                local["transaction_timeout"] = "0"
            path = comma(ident(s) for s in search_path or ("pg_catalog",))
            settings_ = [engine("set_local", name=ident(k), value=sql.Literal(v)) for k, v in local.items()]
            self.script([*settings_, engine("set_local", name=ident("search_path"), value=path)])
            if first is not None:
                self.execute(first)
            yield self
            self.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        """Leave the transaction; a connection that is already gone has rolled back by itself."""
        if self.connection.closed or self.connection.broken:
            return
        try:
            self.connection.execute("ROLLBACK")
        except psycopg.Error:
            self.connection.close()

    def close(self) -> None:
        """Close the connection; session locks go with it."""
        self.connection.close()

    @property
    def version(self) -> int:
        """The server's version as PostgreSQL numbers it: 180002 for 18.2."""
        return self.connection.info.server_version


_BROKE = "The connection to the database broke: "


# --- connecting ------------------------------------------------------------------------------------------------


def connect(url: str, application_name: str = "aicfg_pipeline") -> Session:
    """Connect to `url`. Raises `UnreachableError` (never with the password) where that is not to be had."""
    if _parts(url) is None:  # the client library's complaint would repeat what it can't read
        raise UnreachableError(
            "AICFG_DATABASE_URL is not a PostgreSQL URL. It is not shown, because it may hold a password.",
            expected="postgresql://user:password@host:port/database (with %XX for special characters in the password)",
            remedy="Correct AICFG_DATABASE_URL.",
        )
    try:
        with server_errors(url):
            connection = psycopg.connect(
                url,
                autocommit=True,
                prepare_threshold=None,  # a transaction pooler would hand prepared statements to someone else
                connect_timeout=10,
                application_name=application_name,
                row_factory=namedtuple_row,
                client_encoding="utf8",
            )
    except DatabaseError as error:
        raise UnreachableError(
            f"The database {shown(url)} can't be reached: {error.found.removeprefix(_BROKE)}",
            expected="a PostgreSQL server that accepts this login",
            remedy="Check AICFG_DATABASE_URL (host, port, database, user, password) and that the server runs.",
        ) from None
    return Session(connection, url)


_HARMLESS = {
    "host": re.compile(r"[A-Za-z0-9._:,*-]*|/[^@]*|[A-Za-z]:[^@]*"),
    "hostaddr": re.compile(r"[0-9A-Fa-f.:,]*"),
    "port": re.compile(r"[0-9,]*"),
    "user": re.compile(r"[^:@/]*"),
    "dbname": re.compile(r"[^:@/]*"),
}
"""What a part of a URL looks like that is what it says. A special character that was not escaped puts pieces of the
password into the host, the port or the database."""


def _parts(url: str) -> dict[str, str] | None:
    """Return the parts of a URL, or None where it is none."""
    if "\x00" in url:
        return None
    try:
        return {k: str(v) for k, v in conninfo_to_dict(url).items() if v is not None}
    except (psycopg.Error, ValueError):
        return None


def _astray(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the parts that may well be pieces of a password."""
    astray = {k: parts[k] for k, looks in _HARMLESS.items() if k in parts and not looks.fullmatch(parts[k])}
    if "port" in astray and "password" not in parts:  # user:password without an @host is read as host:port
        astray["host"] = parts.get("host", "")
    return astray


def shown(url: str) -> str:
    """Return the URL as it may be shown: user, host and database, never the password."""
    parts = _parts(url)
    if parts is None:
        return "named by AICFG_DATABASE_URL (it is not a PostgreSQL URL)"
    parts |= dict.fromkeys(_astray(parts), "?")
    host = parts.get("host") or parts.get("hostaddr") or "local socket"
    return f"{parts.get('dbname') or '?'} at {host}:{parts.get('port') or 5432} as {parts.get('user') or '?'}"


def secrets_of(url: str) -> list[str]:
    """Return what of the URL must never be shown, as written and decoded."""
    parts = _parts(url) or {}
    secrets = [parts.get("password", ""), *_astray(parts).values()]
    with suppress(ValueError):
        secrets.append(urlsplit(url).password or "")
    return [s for s in secrets if s]


@contextmanager
def server_errors(url: str) -> Iterator[None]:
    """Turn the driver's errors into ours, without secrets; keep the SQLSTATE in `sqlstate`."""
    try:
        yield
    except psycopg.Error as error:
        if not error.sqlstate and not isinstance(error, psycopg.OperationalError):
            raise  # the client library's own complaint: a mistake in this program
        raise _translated(error, url) from None


CANCELLED = "57014"
_ENDED_BY_A_TIMEOUT = {"25P03", "25P04"}  # a setting for idle or long transactions: the connection is gone


def _by_a_person(error: psycopg.Error) -> bool:
    """Say whether a cancelled statement was so by pg_cancel_backend: the SQLSTATE is that of a timeout."""
    return "user request" in str(error)


def _translated(error: psycopg.Error, url: str) -> PipelineError:
    message = redact(" ".join(str(error).split()) or type(error).__name__, secrets_of(url))
    state = error.sqlstate or ""
    ours: DatabaseError | LockTimeoutError
    if state == CANCELLED and _by_a_person(error):
        ours = DatabaseError(
            f"Someone cancelled the statement on the server: {message}",
            remedy="Its transaction was rolled back. Find out who cancelled it and why; then run the same job again.",
        )
    elif state in {"55P03", "40P01", CANCELLED}:
        ours = LockTimeoutError(f"A lock was not to be had: {message}")
    elif not state or state.startswith(("08", "57P")) or state in _ENDED_BY_A_TIMEOUT:
        ours = ConnectionLostError(
            f"{_BROKE}{message}",
            remedy="What was committed stands, the rest was rolled back. Run the same job again: it goes on from"
            " there.",
        )
    else:
        ours = DatabaseError(f"{message} (SQLSTATE {state})")
    ours.sqlstate = state  # type: ignore[union-attr]
    return ours


# --- locks -----------------------------------------------------------------------------------------------------


@dataclass
class LockReport:
    """How the locks of one step were had: attempts, and who stood in the way."""

    attempts: int = 0
    waited_ms: float = 0.0
    blockers: list[str] = field(default_factory=list)


def deadlock_timeout_ms(session: Session) -> int:
    """Return after how long a wait the server looks for a deadlock, and an autovacuum gives way."""
    return int(session.scalar(engine("deadlock_timeout")))


def take_locks(
    session: Session, statements: Sequence[sql.Composable], then: Sequence[sql.Composable] = ()
) -> list[Any]:
    """Run statements that take locks others may hold, all of them within one budget shorter than `deadlock_timeout`.

    Nobody who waits for a lock that the first statement took can be made a deadlock's victim while a later one waits:
    we are gone before the server looks. Raises `LockTimeoutError`; the transaction has to be rolled back then.

    From then on the server ends the transaction when it hears nothing for two seconds.

    `then` runs in the round trip of the last lock, without that budget; returned are the rows of its last statement.
    """
    budget = min(CUT_OVER_LOCK_TIMEOUT_MS, 0.6 * deadlock_timeout_ms(session))
    began = time.perf_counter()
    rows: list[Any] = []
    unlimited = engine("statement_timeout", milliseconds=sql.Literal("0"))
    heard = engine("silence_limit", milliseconds=sql.Literal(f"{SILENCE_UNDER_LOCKS_MS}ms"))
    for statement in statements:
        left = int(budget - (time.perf_counter() - began) * 1000)
        if left < 1:
            raise LockTimeoutError(f"A lock was not to be had: {budget:.0f} ms were over before the last was asked for")
        limited = [engine("statement_timeout", milliseconds=sql.Literal(f"{left}ms")), heard, statement, unlimited]
        if then and statement is statements[-1]:
            rows = session.script_rows([*limited, *then])
        else:
            session.script(limited)
    return rows


class BlockerWatch:
    """While it is open, looks ten times a second who blocks a backend, from a connection of its own.

    Who holds *a* lock on a table is often not in the way at all; `pg_blocking_pids` knows who is. With `terminate_idle`
    a session that blocks and has been idle in its transaction for two seconds is ended, and never any other.
    """

    INTERVAL = 0.1

    def __init__(self, other: Session, pid: int, oids: Sequence[int], *, terminate_idle: bool = False) -> None:
        self._other, self._pid, self._oids, self._terminate = other, pid, list(oids), terminate_idle
        self._seen: dict[int, Blocker] = {}
        self._said: list[str] = []
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="blocker watch")

    def __enter__(self) -> BlockerWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def taken(self) -> tuple[list[Blocker], list[str]]:
        """Return who was seen to block, and what was done about it, since the last time."""
        with self._guard:
            seen, said = list(self._seen.values()), list(self._said)
            self._seen.clear()
            self._said.clear()
        return seen, said

    def _watch(self) -> None:
        while not self._ended.wait(self.INTERVAL):
            try:
                rows = self._other.all(engine("blockers_of_backend"), {"pid": self._pid, "relations": self._oids})
                for blocker in (Blocker(**r._asdict()) for r in rows):
                    with self._guard:
                        self._seen[blocker.pid] = blocker
                    if self._terminate:
                        self._end(blocker)
            except PipelineError:  # who blocks can't be told any more; the step itself goes on
                return

    def _end(self, blocker: Blocker) -> None:
        try:
            done = self._other.scalar(engine("terminate_idle"), {"pid": blocker.pid})
        except DatabaseError as error:
            if self._other.connection.closed:
                raise
            line = f"{blocker} can't be ended: {error.found}"
        else:
            if not done:
                return
            line = f"ended {blocker} (terminate_blockers)"
        with self._guard:
            if line not in self._said:
                self._said.append(line)


def with_lock_retries(
    work: Callable[[], None],
    *,
    watch: BlockerWatch,
    what: str,
    say: Callable[[str], None],
    attempts: int = LOCK_ATTEMPTS,
    remedy: str | None = None,
) -> LockReport:
    """Run `work` until its locks are had: jittered pauses in between, and a report of who blocks.

    `work` must be one transaction that leaves nothing behind when it fails. Raises `LockTimeoutError` after the
    last attempt; the database is then as before.
    """
    report, named = LockReport(), set[int]()
    pause = 0.05
    while True:
        report.attempts += 1
        began = time.perf_counter()
        try:
            work()
            for line in watch.taken()[1]:
                say(f"{what}: {line}")
            return report
        except LockTimeoutError as error:
            report.waited_ms += (time.perf_counter() - began) * 1000
            found, done = watch.taken()
            for blocker in found:
                if blocker.pid not in named:
                    named.add(blocker.pid)
                    report.blockers.append(str(blocker))
                    say(f"{what}: waiting for {blocker}")
            for line in done:
                say(f"{what}: {line}")
            if report.attempts >= attempts:
                raise LockTimeoutError(
                    f"{what}: the locks were not to be had in {attempts} attempts. The database is as it was before"
                    f" this step. Last: {error.found}",
                    complaints=[f"in the way: {b}" for b in report.blockers],
                    remedy=remedy
                    or "End or wait out the sessions named above and run again; or set terminate_blockers: true, which"
                    " ends sessions that are idle in a transaction.",
                ) from None
            time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - jitter, not cryptography
            pause = min(pause * 1.6, 2.0)
