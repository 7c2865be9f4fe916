"""Locks that others may hold: bounded waits, retries, and who stands in the way.

What is done under the locks does not belong here.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError, LockTimeoutError, PipelineError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.postgres.wording import counted, without_values

CUT_OVER_LOCK_TIMEOUT_MS = 600
"""Shorter than `deadlock_timeout`: while we hold one lock and wait for the next, no writer that waits for us can
be declared the deadlock's victim, because we are gone before its detector runs."""


SILENCE_MS, SILENCE_UNDER_LOCKS_MS = 10_000, 2_000
"""After so long without a word from us the server ends a transaction that writes. A connection that was cut without
either end being told (a laptop that sleeps, a firewall) would else keep its locks until TCP gives up, two hours later."""


LOCK_ATTEMPTS = 25
LONGEST_ATTEMPT_SECONDS = 5.0  # waiting for the locks, and the pause before the next attempt
PROGRESS_SECONDS = 5.0

BYSTANDERS_MS = 50
"""So long at most whoever uses a table that ours refer to waits because of us, at a time."""


TWO_PHASE = "two-phase commit"
LONGEST_SHOWN = 120
UNSEEN = "<insufficient privilege>"  # what the server gives as the query of a session that we may not see


@dataclass(frozen=True)
class Blocker:
    """A session that holds a lock we wait for; of its `query` the literals are not kept."""

    pid: int
    user: str
    application: str
    state: str
    query_start: str
    query: str
    holds: str = ""

    def __post_init__(self) -> None:
        if self.application != TWO_PHASE:  # whose name is needed as it is
            object.__setattr__(self, "query", without_values(self.query)[:LONGEST_SHOWN])

    def __str__(self) -> str:
        locks = f" [{self.holds}]" if self.holds else ""
        return (
            f"pid {self.pid} ({self.user}, {self.application or 'no application name'}, {self.state},"
            f" since {self.query_start}): {self.query}{locks}"
        )


class InTheWayError(LockTimeoutError):
    """Somebody was seen to be in the way before anything was asked for, so nobody has had to wait."""

    def __init__(self, found: str, *, holders: Sequence[Blocker]) -> None:
        self.holders = tuple(holders)
        super().__init__(found)


@dataclass
class LockReport:
    """How the locks of one step were had: attempts, and who stood in the way."""

    attempts: int = 0
    blockers: list[str] = field(default_factory=list)


def deadlock_timeout_ms(session: Session) -> int:
    """Return after how long a wait the server looks for a deadlock, and an autovacuum gives way."""
    return int(session.scalar(engine("deadlock_timeout")))


def bystander_budget_ms(session: Session) -> float:
    """Return how long a lock on somebody else's table is waited for: readers and writers of it queue behind us."""
    return min(BYSTANDERS_MS, 0.05 * deadlock_timeout_ms(session))


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
        with session.waiting_for_locks():
            if then and statement is statements[-1]:
                rows = session.script_rows([*limited, *then])
            else:
                session.script(limited, note=False)
        session.note([statement])
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

    def told_of(self, holders: Sequence[Blocker]) -> None:
        """Take note of who was seen to be in the way before anything was asked for; with `terminate_idle` end the idle."""
        for holder in holders:
            with self._guard:
                self._seen[holder.pid] = holder
            if self._terminate:
                self._end(holder)

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
            if done:
                line = f"ended {blocker} (terminate_blockers)"
            elif blocker.query.startswith(UNSEEN):
                line = (
                    f"terminate_blockers can't tell whether pid {blocker.pid} ({blocker.user}) is idle in a transaction:"
                    " this role may not see it. Grant it pg_read_all_stats (and pg_signal_backend), or end the session"
                    " by hand"
                )
            else:
                return
        with self._guard:
            if line not in self._said:
                self._said.append(line)


Result = TypeVar("Result")


def with_lock_retries(
    work: Callable[[], Result],
    *,
    watch: BlockerWatch,
    what: str,
    say: Callable[[str], None],
    attempts: int = LOCK_ATTEMPTS,
    remedy: str | None = None,
) -> tuple[Result, LockReport]:
    """Run `work` until its locks are had: jittered pauses in between. Returns what it returned, and who blocked.

    `work` must be one transaction that leaves nothing behind when it fails. Raises `LockTimeoutError` after the
    last attempt; the database is then as before.
    """
    report, named = LockReport(), set[int]()
    pause, said = 0.05, time.monotonic()
    while True:
        report.attempts += 1
        try:
            result = work()
            for line in watch.taken()[1]:
                say(f"{what}: {line}")
            return result, report
        except LockTimeoutError as error:
            if isinstance(error, InTheWayError):
                watch.told_of(error.holders)
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
                    f"{what}: the locks were not to be had in {counted(attempts, 'attempt')}. The database is as it was before"
                    f" this step. Last: {error.found}",
                    complaints=[f"in the way: {b}" for b in report.blockers],
                    remedy=remedy
                    or "End or wait out the sessions named above and run again; or set terminate_blockers: true, which"
                    " ends sessions that are idle in a transaction.",
                ) from None
            if time.monotonic() - said > PROGRESS_SECONDS:
                said, left = time.monotonic(), (attempts - report.attempts) * LONGEST_ATTEMPT_SECONDS
                say(
                    f"{what}: still no locks, attempt {report.attempts} of {attempts}; gives up in {left:.0f} s at most"
                )
            time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - jitter, not cryptography
            pause = min(pause * 1.6, 2.0)
