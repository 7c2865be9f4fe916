"""Who would be in the way, seen before anybody has to wait: holders of locks on others' tables, and old snapshots.

What is asked for afterwards, and the waiting in a queue, are `locks`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from aicfg_pipeline.postgres.locks import Blocker, InTheWayError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine

GLANCE_SECONDS = 0.02
"""A transaction that holds a lock for longer than this is not worth queueing behind: others would queue behind us."""


def must_be_free(session: Session, oids: Collection[int], *, for_writers: bool = False) -> None:
    """See that no transaction holds a lock on these tables for longer than a moment; nobody has to queue for that.

    With `for_writers` only such as would keep us from SHARE ROW EXCLUSIVE count: readers are welcome then. Raises
    `InTheWayError` with those who hold one.
    """
    wanted = {"relations": list(oids), "for_writers": for_writers}
    before = _by_transaction(session.all(engine("holders"), wanted)) if oids else {}
    if not before:
        return
    time.sleep(GLANCE_SECONDS)
    now = _by_transaction(session.all(engine("holders"), wanted))
    staying = [blocker for transaction, blocker in now.items() if transaction in before]
    if staying:
        raise InTheWayError("A lock was not asked for: others would have had to queue behind us", holders=staying)


class OlderSnapshots:
    """The transactions whose snapshot is from before what we have written, and so does not see it.

    Rows that we write in the place of others' carry our transactions' numbers: under an older snapshot a copy is empty or
    stale, and an UPDATE that is acknowledged finds nothing. So they are waited for, as CREATE INDEX CONCURRENTLY does. Who
    comes later is not.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._limit = ""
        self._left: dict[str, Blocker] = {}

    def note(self) -> None:
        """Take note of who there is now: what is committed must be seen by all who come after."""
        self._limit = str(self._session.scalar(engine("horizon")))
        self._left = self._there()

    def wait(self, seconds: float, meanwhile: Callable[[], object]) -> bool:
        """Wait until all of them are gone, `seconds` at most; return whether they are. `meanwhile` is done all the time."""
        until = time.monotonic() + seconds
        while self._left and time.monotonic() < until:
            meanwhile()
            time.sleep(GLANCE_SECONDS)
            now = self._there()
            self._left = {t: b for t, b in now.items() if t in self._left}
        return not self._left

    def must_be_gone(self, seconds: float, meanwhile: Callable[[], object]) -> None:
        """Wait for them. Raises `InTheWayError` with those who are left; who is gone needs no waiting the next time."""
        if not self.wait(seconds, meanwhile):
            raise InTheWayError(
                "There are transactions with a snapshot from before the copy: they would see an empty or stale table",
                holders=list(self._left.values()),
            )

    def forget(self) -> None:
        """Wait for none of them any more."""
        self._left = {}

    def _there(self) -> dict[str, Blocker]:
        return _by_transaction(self._session.all(engine("older_snapshots"), {"limit": self._limit}))


def _by_transaction(rows: Sequence[Any]) -> dict[str, Blocker]:
    found: dict[str, Blocker] = {}
    for row in rows:
        values = row._asdict()
        transaction = values.pop("transaction")
        found[transaction] = Blocker(**values)
    return found
