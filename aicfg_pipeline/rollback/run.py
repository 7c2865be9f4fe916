"""What every step is given: the session, the migration, who runs it and with which settings; and the run lock.

The steps themselves do not belong here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import AlreadyRunningError, DatabaseError, PipelineError
from aicfg_pipeline.postgres.locks import (
    LOCK_ATTEMPTS,
    PROGRESS_SECONDS,
    SILENCE_MS,
    BlockerWatch,
    LockReport,
    Result,
    deadlock_timeout_ms,
    with_lock_retries,
)
from aicfg_pipeline.postgres.session import Session, observer
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.lock import RUN_LOCK
from aicfg_pipeline.rollback.state import Look, look
from aicfg_pipeline.spec.model import Migration

NO_PRIVILEGE = "42501"


@dataclass(frozen=True)
class Settings:
    """What the operator asked for. `retain_days` 0 drops the parked tables at the end of the run."""

    confirm_database: str | None = None
    dry_run: bool = False
    accept_hazards: tuple[str, ...] = ()
    retain_days: int = 7
    terminate_blockers: bool = False
    before_retention_ends: bool = False
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

    def with_locks(
        self, work: Callable[[], Result], *, what: str, oids: list[int], attempts: int | None = None
    ) -> tuple[Result, LockReport]:
        """Run a transaction that needs locks on relations others use, with retries: `attempts` at most.

        Returns what the work returned, and a report of who was in the way.

        Before each attempt a vacuum on one of them is waited out.
        """

        def attempt() -> Result:
            self.clear_autovacuum(oids)
            return work()

        pid = self.session.connection.info.backend_pid
        with (
            observer(self.session) as other,
            BlockerWatch(other, pid, oids, terminate_idle=self.settings.terminate_blockers) as watch,
        ):
            most = min(attempts or LOCK_ATTEMPTS, self.settings.lock_attempts)
            return with_lock_retries(attempt, watch=watch, what=what, say=self.say, attempts=most)

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


Measure = Callable[[Session], str | None]
"""Says how far something has come, asked on a second connection; None where it can't be told."""


@contextmanager
def at_work(run: Run, what: str, measure: Measure | None = None) -> Iterator[None]:
    """While one statement takes long, say every few seconds that it is at work, and how far it has come.

    A second connection is made only then, and one that is not to be had is no reason to disturb the work.
    """
    ended, began = threading.Event(), time.monotonic()

    def told(other: Session | None) -> str:
        far = measure(other) if measure and other else None
        return far or f"{time.monotonic() - began:.0f} s so far"

    def watch() -> None:
        if ended.wait(PROGRESS_SECONDS):
            return
        with ExitStack() as opened:
            other: Session | None = None
            with suppress(PipelineError):
                other = opened.enter_context(observer(run.session)) if measure else None
            while True:
                try:
                    run.say(f"{what}: {told(other)}")
                except PipelineError:
                    other = None
                if ended.wait(PROGRESS_SECONDS):
                    return

    thread = threading.Thread(target=watch, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)


def index_progress(run: Run) -> Measure:
    """Return what measures the index that this run's connection is making."""
    pid = run.session.connection.info.backend_pid

    def measure(other: Session) -> str | None:
        found = other.all(engine("index_in_progress"), {"pid": pid})
        return f"{found[0].index}: {found[0].phase}, {found[0].percent} %" if found else None

    return measure
