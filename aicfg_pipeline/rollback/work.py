"""What a step does, as data: its transactions in order, and in each the statements in order.

A step yields these; the plan prints them, and running the step carries out the very same ones. What they are made of is
the steps' business, and `Run.writing` stays the only way to write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import sql

from aicfg_pipeline.postgres.locks import CUT_OVER_LOCK_TIMEOUT_MS, bystander_budget_ms, take_locks
from aicfg_pipeline.postgres.session import FIRST_LOCK_TIMEOUT_MS, Session
from aicfg_pipeline.rollback.run import Run


@dataclass(frozen=True)
class Work:
    """One transaction of a step; with `alone` one statement that the server wants outside any.

    `before` runs before its `locks` are asked for, `then` after. In a `snapshot` the one lock comes first of all. `brief`
    waits for locks as long as the swap does. `bystanders` waits less: users of tables that are not ours queue behind it.
    `outcome` is the ledger's word for the work when it is done. `provided` is the condition without which it does not run.
    """

    step: str
    pair: str | None
    does: str
    then: Sequence[sql.Composable] = ()
    before: Sequence[sql.Composable] = ()
    locks: Sequence[sql.Composable] = ()
    search_path: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    snapshot: bool = False
    brief: bool = False
    bystanders: bool = False
    alone: bool = False
    outcome: str | None = None
    provided: str | None = None

    @property
    def statements(self) -> list[sql.Composable]:
        """All of its statements in the order in which they run."""
        return [*self.before, *self.locks, *self.then]


@contextmanager
def begun(run: Run, work: Work) -> Iterator[Session]:
    """Open the transaction of a work, up to and with its locks. The caller runs `then` and records what was done."""
    options = {
        "search_path": work.search_path or run.search_path,
        "settings": dict(work.settings),
        "snapshot": work.snapshot,
        "first": work.locks[0] if work.snapshot and work.locks else None,
        "lock_timeout_ms": _patience_ms(run, work),
    }
    with run.writing(**options) as session:
        carry_out(session, work.before)
        if work.locks and not work.snapshot:
            take_locks(session, work.locks)
        yield session


def _patience_ms(run: Run, work: Work) -> int:
    if work.bystanders:
        return int(bystander_budget_ms(run.session))
    return CUT_OVER_LOCK_TIMEOUT_MS if work.brief else FIRST_LOCK_TIMEOUT_MS


def carry_out(session: Session, statements: Sequence[sql.Composable]) -> int:
    """Run statements one by one, so that the ledger has the time that each took; return the rows of the last."""
    rows = 0
    for statement in statements:
        rows = session.execute(statement).rowcount
    return rows
