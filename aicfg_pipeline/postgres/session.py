"""One connection to the target: pinned settings, explicit transactions, bounded locks.

Every statement of the pipeline goes through `Session.execute`, so that each can be timed, recorded and, in tests,
interrupted. Settings are pinned right after connecting, and with SET LOCAL inside each transaction. Behind a pooler
only the latter: a server connection that others use too is left as it was, and what is read outside a transaction gets
one of its own. What the statements *do* does not belong here.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row

from aicfg_pipeline.errors import DatabaseError, UnreachableError
from aicfg_pipeline.postgres.address import name_of, over_network, parts_of, shown, target_name
from aicfg_pipeline.postgres.boundary import BROKE, server_errors
from aicfg_pipeline.postgres.place import let_work_for, works_for
from aicfg_pipeline.postgres.settings import OUTSIDE_TRANSACTIONS, local_statement, path_statement
from aicfg_pipeline.postgres.statements import Statement, engine, is_noted, with_parameters

FIRST_LOCK_TIMEOUT_MS = 1_200
"""Longer than `deadlock_timeout` (1 s): only then does an autovacuum in progress give way."""

CANCEL_SECONDS = 3.0
"""So long the server is given to take note that we stop; closing the connection ends our work in any case."""

Query = sql.Composable | str


@dataclass
class Executed:
    """One executed statement: its text without values, and how long it took in milliseconds (None within a script)."""

    sql: str
    ms: float | None


@dataclass
class Session:
    """A connection in autocommit mode with explicit transactions. Use `connect` to make one."""

    connection: psycopg.Connection[Any]
    url: str
    journal: list[Executed] = field(default_factory=list)
    recording: bool = False
    known: frozenset[str] = frozenset()  # the settings we pin that this server has
    pinned: bool = False  # whether they hold outside transactions too
    _for_locks: bool = False

    # --- statements ----------------------------------------------------------------------------------------

    def execute(
        self, query: Query, params: Mapping[str, Any] | Sequence[Any] | None = None, *, note: bool = True
    ) -> psycopg.Cursor[Any]:
        """Run one statement (or, without parameters, several in one round trip) and return its cursor.

        While the session records, the statement is noted for the ledger, unless `note` is false.
        """
        composed: Any = sql.SQL(query) if isinstance(query, str) else query
        sent: Any = composed if params is None or isinstance(query, str) else with_parameters(composed)
        began = time.perf_counter()
        try:
            with server_errors(self.url, for_locks=self._for_locks):
                cursor = self.connection.execute(sent, params)
        except Exception:
            raise
        except BaseException:  # a person stops us while the server is at work
            self._let_go()
            raise
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
        """Run several statements in one round trip; return the last one's rows. They are not noted."""
        cursor = self.execute(sql.SQL(";\n").join(statements), note=False)
        while cursor.nextset():
            pass
        return cursor.fetchall()

    def note(self, statements: Sequence[sql.Composable], ms: float | None = None) -> None:
        """Note statements for the ledger, where the session records."""
        if self.recording:
            rounded = None if ms is None else round(ms, 2)
            shown = [" ".join(s.as_string(self.connection).split()) for s in statements if is_noted(s)]
            self.journal += [Executed(text, rounded) for text in shown]

    def all(self, query: Query, params: Mapping[str, Any] | Sequence[Any] | None = None) -> list[Any]:
        """Return all rows as named tuples. What only looks is not noted."""
        return self._read(query, params).fetchall()

    def one(self, query: Query, params: Mapping[str, Any] | Sequence[Any] | None = None, *, note: bool = False) -> Any:
        """Return the first row as a named tuple, or None; with `note` the ledger has it as a proof of ours."""
        return self._read(query, params, note=note).fetchone()

    def scalar(self, query: Query, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Any:
        """Return the first column of the first row, or None."""
        row = self.one(query, params)
        return row[0] if row else None

    def _read(
        self, query: Query, params: Mapping[str, Any] | Sequence[Any] | None, *, note: bool = False
    ) -> psycopg.Cursor[Any]:
        if self.pinned or self.connection.info.transaction_status != TransactionStatus.IDLE:
            return self.execute(query, params, note=note)
        with self.transaction():
            return self.execute(query, params, note=note)

    # --- settings ------------------------------------------------------------------------------------------

    def pin(self, backend: int | None = None) -> None:
        """Pin all settings for as long as the connection lives, in one round trip, where the backend is our own.

        It is where it is the one that greeted us, or `backend`, which the caller knows to stay ours.
        """
        values = {
            "backend": self.connection.info.backend_pid if backend is None else backend,
            "names": list(OUTSIDE_TRANSACTIONS),
            "values": list(OUTSIDE_TRANSACTIONS.values()),
        }
        with server_errors(self.url):
            rows = self.connection.execute(engine("pin_session"), values).fetchall()
        self.known = frozenset(r.name for r in rows)
        self.pinned = any(r.value is not None for r in rows)

    @contextmanager
    def waiting_for_locks(self) -> Iterator[None]:
        """Within it, a statement that its time limit ends has not had a lock."""
        self._for_locks = True
        try:
            yield
        finally:
            self._for_locks = False

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
        begin, path = begin_statement(snapshot=snapshot, read_only=read_only), path_statement(search_path)
        local = {"lock_timeout": f"{lock_timeout_ms}ms", **(settings or {})}
        try:
            self.script([begin, local_statement(self.known, **local), path], note=False)
            self.note([begin, path])
            if first is not None:
                self.execute(first)
            yield self
            self.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Run a part of the transaction under way. On any exception that part alone is taken back."""
        with server_errors(self.url), self.connection.transaction():
            yield

    def _roll_back(self) -> None:
        """Leave the transaction; a connection that is already gone has rolled back by itself."""
        if self.connection.closed or self.connection.broken:
            return
        if self.connection.info.transaction_status == TransactionStatus.ACTIVE:
            return self._let_go()
        try:
            self.connection.execute("ROLLBACK")
        except psycopg.Error:
            self.connection.close()

    def _let_go(self) -> None:
        """Have the server end what it is at, and close: a connection that is at work can't be asked anything."""
        try:
            with suppress(psycopg.Error):
                self.connection.cancel_safe(timeout=CANCEL_SECONDS)
        finally:
            self.connection.close()

    def close(self) -> None:
        """Close the connection; session locks go with it."""
        self.connection.close()

    @property
    def private_schema(self) -> str:
        """The private schema of the migration that this session works for."""
        return works_for(self.connection).schema

    @property
    def target(self) -> str:
        """What a person calls the database at the other end of this very connection (see `address.name_of`)."""
        info = self.connection.info
        try:
            return name_of(info.host, info.port, info.user, info.dbname)
        except psycopg.Error:  # the connection is closed
            return target_name(self.url)

    @property
    def unencrypted_to(self) -> str | None:
        """The host to which this connection goes over a network without TLS, or None.

        The client library knows: behind a pooler the server would tell of the pooler's own connection.
        """
        info = self.connection.info
        if self.connection.pgconn.ssl_in_use or not over_network(info.host, info.hostaddr):
            return None
        return info.host or info.hostaddr

    @property
    def version(self) -> int:
        """The server's version as PostgreSQL numbers it: 180002 for 18.2."""
        return self.connection.info.server_version


def begin_statement(*, snapshot: bool = False, read_only: bool = False) -> Statement:
    """Return what begins a transaction."""
    level = sql.SQL("REPEATABLE READ" if snapshot else "READ COMMITTED")
    return engine("begin", level=level, mode=sql.SQL(" READ ONLY" if read_only else ""))


# --- connecting ------------------------------------------------------------------------------------------------


def connect(url: str, application_name: str = "aicfg_pipeline") -> Session:
    """Connect to `url`. Raises `UnreachableError` (never with the password) where that is not to be had."""
    if parts_of(url) is None:  # the client library's complaint would repeat what it can't read
        raise UnreachableError(
            "AICFG_DATABASE_URL is not a PostgreSQL URL. It is not shown, because it may hold a password.",
            expected="postgresql://user:password@host:port/database (with %XX for special characters in the password)",
            remedy="Correct AICFG_DATABASE_URL.",
        )
    connection, late = None, threading.Event()
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
        session = Session(connection, url)
        with _first_answer_in_time(connection) as late:
            session.pin()
    except DatabaseError as error:
        if connection is not None and late.is_set():
            raise _no_answer(url, connection) from None
        if connection is not None:
            connection.close()
        raise UnreachableError(
            f"The database {shown(url)} can't be reached: {error.found.removeprefix(BROKE)}",
            expected="a PostgreSQL server that accepts this login",
            remedy="Check AICFG_DATABASE_URL (host, port, database, user, password) and that the server runs.",
        ) from None
    return session


FIRST_ANSWER_SECONDS = 15.0
"""A pooler that has no connection left lets a client log in, and then wait for minutes."""


@contextmanager
def _first_answer_in_time(connection: psycopg.Connection[Any]) -> Iterator[threading.Event]:
    """Hang up where the first answer does not come; the event tells that it was so."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(FIRST_ANSWER_SECONDS, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _no_answer(url: str, connection: psycopg.Connection[Any]) -> UnreachableError:
    connection.close()
    return UnreachableError(
        f"The database {shown(url)} took the login, and then did not answer for {FIRST_ANSWER_SECONDS:.0f} s.",
        expected="a pooler with a connection left: a run needs two at a time",
        remedy="Let the pooler have at least two connections for this role and database, or close others; or use the"
        " direct connection in AICFG_DATABASE_URL.",
    )


# --- locks -----------------------------------------------------------------------------------------------------


@contextmanager
def observer(session: Session) -> Iterator[Session]:
    """A second connection, for watching what the first one is busy with."""
    other = connect(session.url, "aicfg_pipeline observer")
    let_work_for(other.connection, works_for(session.connection))
    try:
        yield other
    finally:
        other.close()
