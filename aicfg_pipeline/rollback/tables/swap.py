"""The swap of names under locks. What is swapped, and in which direction, is the steps' to say."""

from __future__ import annotations

import time
from collections.abc import Sequence

from psycopg import sql

from aicfg_pipeline.postgres.locks import take_locks
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback.tables import change_log
from aicfg_pipeline.rollback.tables.catch_up import Replay


class UnderLocks:
    """Takes the locks, and in the same round trip counts what is left to replay; each further one is waited for.

    `replay` are the statements for what is left, `entries` their number.
    """

    def __init__(self, session: Session, locks: Sequence[sql.Composable], replays: Sequence[Replay]) -> None:
        count = change_log.count_waiting([(r.pair, r.target) for r in replays])
        waiting = change_log.counted(take_locks(session, locks, then=[engine("mark_locked"), *count]))
        self._since = time.perf_counter() - (waiting[0].held_ms or 0.0) / 1000
        self.replay = [s for r, w in zip(replays, waiting, strict=True) for s in r.script(w)]
        self.entries = sum(w.entries for w in waiting)

    def held_ms(self) -> float:
        """Return for how long the locks have been held, in milliseconds: until the answer to the last statement."""
        return round((time.perf_counter() - self._since) * 1000, 2)
