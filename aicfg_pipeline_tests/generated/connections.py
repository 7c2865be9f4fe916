"""The engine's connections of one story. They are kept open from one chapter to the next: a new backend costs more than
most statements. What the engine asks of the catalog again and again is prepared. Neither changes what is asked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg.pq import TransactionStatus

from aicfg_pipeline.postgres.session import Query, Session, connect, observer
from aicfg_pipeline.postgres.statements import engine, why_of

OFTEN = frozenset(
    engine(name).why
    for name in (
        "relations", "columns", "not_ours", "table_foreign_keys", "our_triggers", "unhashable", "read_ledger",
        "take_transaction_lock",
    )
)  # fmt: skip
"""What is asked by the hundred in a story; none of it reads a table of the story."""


class LastMoment(Session):
    """A session of the pipeline's, and someone who writes right before it asks for locks that keep all others out."""

    write: Callable[[], None] | None = None

    def execute(self, query: Query, *given: Any, **named: Any) -> psycopg.Cursor[Any]:
        if self.write is not None and "ACCESS EXCLUSIVE" in (
            query if isinstance(query, str) else query.as_string(self.connection)
        ):
            write, self.write = self.write, None
            write()
        self.connection.prepare_threshold = 0 if not isinstance(query, str) and why_of(query) in OFTEN else None
        return super().execute(query, *given, **named)


class Connections:
    """The engine's first connection, and those from which it looks on."""

    def __init__(self) -> None:
        self._first: LastMoment | None = None
        self._others: list[Session] = []

    def first(self, url: str) -> LastMoment:
        """Return the connection on which the jobs run, one after the other."""
        if self._first is None or not _usable(self._first):
            plain = connect(url, "aicfg_pipeline generated")
            self._first = LastMoment(plain.connection, plain.url, known=plain.known, pinned=plain.pinned)
        self._first.write = None
        return self._first

    @contextmanager
    def observer(self, session: Session) -> Iterator[Session]:
        """Do what `session.observer` does, with a connection that is open already."""
        other = self._others.pop() if self._others else connect(session.url, "aicfg_pipeline observer")
        try:
            yield other
        finally:
            if _usable(other):
                self._others.append(other)
            else:
                other.close()

    def close(self) -> None:
        """Close all of them."""
        for session in (*self._others, *([self._first] if self._first else [])):
            session.close()


@contextmanager
def connections() -> Iterator[Connections]:
    """The connections of one story."""
    kept = Connections()
    with ExitStack() as patched:
        patched.callback(kept.close)
        for module in [m for n, m in sys.modules.items() if n.startswith("aicfg_pipeline.rollback.")]:
            if getattr(module, "observer", None) is not observer:
                continue
            patched.enter_context(patch.object(module, "observer", kept.observer))
        yield kept


def _usable(session: Session) -> bool:
    open_ = not (session.connection.closed or session.connection.broken)
    return open_ and session.connection.info.transaction_status == TransactionStatus.IDLE
