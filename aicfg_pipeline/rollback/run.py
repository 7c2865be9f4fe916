"""What every step is given: the session, the migration, who runs it and with which settings; and the run lock.

The steps themselves do not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import AlreadyRunningError, LockTimeoutError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.session import (
    FIRST_LOCK_TIMEOUT_MS,
    LOCK_ATTEMPTS,
    Blocker,
    LockReport,
    Session,
    connect,
    with_lock_retries,
)
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.state import Look, look
from aicfg_pipeline.spec import Migration

RUN_LOCK = {"class": 0x41494346, "key": 0x47524C42}  # "AICF", "GRLB": any two integers, as long as they never change


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
        self.session.journal.clear()
        self.session.recording = True
        try:
            with self.session.transaction(**options):
                if not self.session.scalar(engine("take_transaction_lock"), RUN_LOCK):
                    raise AlreadyRunningError(
                        "The run lock is not held by this connection: another run works here, or a transaction pooler"
                        " has handed the connection to another backend.",
                        remedy="Connect directly to the server (not through a pooler in transaction mode) and run again.",
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
        """Run a transaction that needs locks on relations others use, with retries and a report of who blocks."""
        with observer(self.session) as other:

            def watch() -> list[Blocker]:
                found = [b for b in catalog.blockers(other, oids) if b.pid != self.session.connection.info.backend_pid]
                if self.settings.terminate_blockers:
                    self._terminate_idle(other, found)
                return found

            return with_lock_retries(work, watch=watch, what=what, say=self.say, attempts=self.settings.lock_attempts)

    def _terminate_idle(self, other: Session, found: list[Blocker]) -> None:
        for blocker in found:
            if blocker.state.startswith("idle in transaction") and other.scalar(
                engine("terminate_idle"), {"pid": blocker.pid}
            ):
                self.say(f"ended {blocker} (terminate_blockers)")

    def clear_autovacuum(self, oids: list[int], tables: list[sql.Identifier]) -> None:
        """Where a vacuum runs on one of these tables, make it give way before any lock is held elsewhere."""
        if not self.session.all(engine("vacuum_in_progress"), {"relations": oids}):
            return
        for table in tables:
            try:
                with self.session.transaction(lock_timeout_ms=FIRST_LOCK_TIMEOUT_MS):
                    self.session.execute(engine("lock_exclusively", tables=table))
            except LockTimeoutError:
                self.say("a vacuum is in progress and does not give way yet")


@contextmanager
def observer(session: Session) -> Iterator[Session]:
    """A second connection, for watching what the first one is busy with."""
    other = connect(session.url, "aicfg_pipeline observer")
    try:
        yield other
    finally:
        other.close()


def take_run_lock(session: Session) -> None:
    """Take the run lock for as long as the session lives. Raises `AlreadyRunningError` naming who has it."""
    if session.scalar(engine("take_session_lock"), RUN_LOCK):
        return
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
