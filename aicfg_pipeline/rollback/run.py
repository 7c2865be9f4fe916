"""What every step is given: the session, the migration, who runs it and with which settings; and the run lock.

The steps themselves do not belong here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import AlreadyRunningError, DatabaseError, HazardError
from aicfg_pipeline.postgres.session import (
    LOCK_ATTEMPTS,
    SILENCE_MS,
    BlockerWatch,
    LockReport,
    Session,
    connect,
    deadlock_timeout_ms,
    with_lock_retries,
)
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.state import Look, look
from aicfg_pipeline.spec import Migration

GRACE_TRIES, GRACE_PAUSE = 4, 0.15
"""A backend whose client has just ended needs a moment to give its lock back; a run under way keeps it longer."""

RUN_LOCK = {"class": 0x41494346, "key": 0x47524C42}  # "AICF", "GRLB": any two integers, as long as they never change
NO_PRIVILEGE = "42501"
OTHERS = 3  # connections that are opened beside ours to find out about a pooler


@dataclass(frozen=True)
class Settings:
    """What the operator asked for. `retain_days` 0 drops the parked tables at the end of the run."""

    confirm_database: str | None = None
    dry_run: bool = False
    accept_hazards: tuple[str, ...] = ()
    retain_days: int = 7
    terminate_blockers: bool = False
    lock_attempts: int = LOCK_ATTEMPTS


@dataclass
class Run:
    """One run of a job on one database. `say` takes a line for the person who watches."""

    session: Session
    migration: Migration
    run_id: str
    settings: Settings = field(default_factory=Settings)
    plan_hash: str | None = None
    say: Callable[[str], None] = print

    def look(self) -> Look:
        """Look at the database as it is now."""
        return look(self.session, self.migration)

    @property
    def search_path(self) -> tuple[str, ...]:
        """Where the migration's expressions find their functions and types."""
        return (self.migration.schema, "extensions")

    @contextmanager
    def writing(self, **options: Any) -> Iterator[Session]:
        """Run a transaction that writes: it fails where the run lock is not ours in this very backend."""
        options.setdefault("search_path", self.search_path)
        options["settings"] = {
            "idle_in_transaction_session_timeout": f"{SILENCE_MS}ms",
            **(options.get("settings") or {}),
        }
        self.session.journal.clear()
        self.session.recording = True
        try:
            with self.session.transaction(**options):
                if not self.session.scalar(engine("take_transaction_lock"), RUN_LOCK):
                    raise AlreadyRunningError(
                        "The run lock is not held by this connection: another run works here, or a transaction pooler"
                        " has handed the connection to another backend.",
                        remedy="Connect directly to the server (not through a transaction pooler) and run again.",
                    )
                yield self.session
        finally:
            self.session.recording = False
            self.session.journal.clear()

    def record(self, step: str, outcome: str, *, pair: str | None = None, facts: dict[str, Any] | None = None) -> None:
        """Write a ledger row in the transaction under way."""
        ledger.append(self.session, self.run_id, step, outcome, pair=pair, plan_hash=self.plan_hash, facts=facts)

    def record_statement(
        self, step: str, outcome: str, *, pair: str | None = None, facts: dict[str, Any] | sql.Composable | None = None
    ) -> sql.Composed:
        """Return the same as a statement, for a script that runs under locks."""
        return ledger.append_statement(
            self.session, self.run_id, step, outcome, pair=pair, plan_hash=self.plan_hash, facts=facts
        )

    def with_locks(self, work: Callable[[], None], *, what: str, oids: list[int]) -> LockReport:
        """Run a transaction that needs locks on relations others use, with retries and a report of who blocks.

        Before each attempt a vacuum on one of them is waited out.
        """

        def attempt() -> None:
            self.clear_autovacuum(oids)
            work()

        pid = self.session.connection.info.backend_pid
        with (
            observer(self.session) as other,
            BlockerWatch(other, pid, oids, terminate_idle=self.settings.terminate_blockers) as watch,
        ):
            return with_lock_retries(
                attempt, watch=watch, what=what, say=self.say, attempts=self.settings.lock_attempts
            )

    def clear_autovacuum(self, oids: list[int]) -> bool:
        """Wait out a vacuum on one of these tables, in a lock mode that no reader or writer notices; say if there was one.

        An autovacuum gives way to whoever waits for longer than `deadlock_timeout`; one by hand, or one against
        wraparound, does not. Raises `LockTimeoutError` then, so that no stronger lock is asked for while it runs.
        """
        under_vacuum = self.session.all(engine("vacuum_in_progress"), {"relations": oids})
        if not under_vacuum:
            return False
        patience = deadlock_timeout_ms(self.session) + 200
        for row in under_vacuum:
            kind = "an autovacuum" if row.automatic else f"a vacuum, analyze or the like by {row.user}"
            self.say(f"{row.schema}.{row.name}: {kind} is in progress (pid {row.pid}); waiting for it")
            try:
                with self.session.transaction(lock_timeout_ms=patience):
                    self.session.execute(engine("lock_beside_writers", tables=ident(row.schema, row.name)))
            except DatabaseError as error:
                if getattr(error, "sqlstate", None) != NO_PRIVILEGE:
                    raise
        return True


@contextmanager
def observer(session: Session) -> Iterator[Session]:
    """A second connection, for watching what the first one is busy with."""
    other = connect(session.url, "aicfg_pipeline observer")
    try:
        yield other
    finally:
        other.close()


def take_run_lock(session: Session) -> None:
    """Take the run lock for as long as the session lives. Raises `AlreadyRunningError` naming who has it.

    Raises `HazardError` behind a transaction pooler: the lock would stay on a server connection that others use.
    """
    behind = behind_pooler(session)
    if behind:
        raise HazardError(
            f"pooled_connection: {behind}",
            codes=["pooled_connection"],
            remedy=DIRECT_CONNECTION,
        )
    for _ in range(GRACE_TRIES):
        if session.scalar(engine("take_session_lock"), RUN_LOCK):
            return
        time.sleep(GRACE_PAUSE)
    holder = session.one(engine("lock_holder"), RUN_LOCK)
    who = f"pid {holder.pid} as {holder.role} ({holder.application}), since {holder.since}" if holder else "another run"
    raise AlreadyRunningError(
        f"Another run works on this database: {who}.",
        expected="one run at a time",
        remedy="Wait for it to end, or end it in the Dagster UI (or pg_terminate_backend of that pid), then run again.",
    )


def release_run_lock(session: Session) -> None:
    """Give the run lock back."""
    if not (session.connection.closed or session.connection.broken):
        session.scalar(engine("release_session_lock"), RUN_LOCK)


DIRECT_CONNECTION = "Use the direct connection (on Supabase port 5432, not the pooler's 6543) in AICFG_DATABASE_URL."


def behind_pooler(session: Session, *, thorough: bool = False) -> str | None:
    """Say what tells of a pooler in transaction mode between us and the server, or None.

    A server connection of our own is never in somebody else's transaction, and never another one from one statement
    to the next. Where the backend is the one that greeted us nothing stands in between, as far as poolers are known:
    that costs one query, and more are asked only if this has to be `thorough`.
    """
    first = session.scalar(engine("backend_pid"))
    if first == session.connection.info.backend_pid and not thorough:
        return None
    with ExitStack() as opened:
        for _ in range(OTHERS):
            other = opened.enter_context(observer(session))
            opened.enter_context(other.transaction(read_only=True))
            shared = other.scalar(engine("backend_pid"))
            second = first if shared == first else session.scalar(engine("backend_pid"))
            if shared == first or second != first:
                backends = f"pid {first}" if shared == first else f"pids {first} and {second}"
                return (
                    f"Two transactions of one connection do not run in one backend of their own ({backends}): a pooler"
                    " in transaction mode stands in between, where locks and settings of a session silently do not"
                    " hold."
                )
    return None
