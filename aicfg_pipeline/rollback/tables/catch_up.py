"""Rounds of replay until a copy is nearly up to date: the same for both directions.

Each round is a snapshot of its own and is recorded. What is replayed, and into what, is the steps' business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg import sql

from aicfg_pipeline.postgres.locks import PROGRESS_SECONDS
from aicfg_pipeline.postgres.statements import comma, engine, private, provided, unnoted
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.tables import change_log
from aicfg_pipeline.rollback.tables.change_log import Waiting
from aicfg_pipeline.rollback.tables.fitting import rows_must_fit
from aicfg_pipeline.rollback.work import Work, begun
from aicfg_pipeline.spec.model import Pair

FEW_LEFT = 200
"""So many entries are left to the next step, which comes at once."""

FEW_UNDER_LOCKS = 30
"""So many are left to the swap, which replays them while everybody waits."""

MANY_DEAD = 5_000
"""After so many entries the log is vacuumed: whoever counts what waits would have to step over them."""

MOST_ROUNDS = 30
MOST_WAITS = 5
IF_WAITING = "entries wait in the change log"
AFTER_TRUNCATE = "a TRUNCATE waits in the change log: then instead of the replay"
COPY_SETTINGS = {"synchronous_commit": "off"}


@dataclass(frozen=True)
class Replay:
    """One log and how it is replayed: `tables` are read, `target` is written.

    `make` returns the statements, given whether a TRUNCATE has put the whole table in doubt. A `bare` target has no index yet,
    so that no row of it can be looked up.
    """

    pair: Pair
    step: str
    tables: tuple[sql.Identifier, ...]
    target: sql.Identifier
    make: Callable[[bool], list[sql.Composable]]
    bare: bool = False

    def script(self, waiting: Waiting) -> list[sql.Composable]:
        """Return what replays the waiting entries, or nothing where there are none.

        The transaction must be a snapshot that began after `lock_for_read` (design page: a unique value may have moved
        between rows), or hold the writers out.
        """
        if not waiting.entries:
            return []
        path = unnoted(engine("by_reading_all")) if self.bare else change_log.access_path(waiting)
        return [path, *self.make(waiting.whole_table)]

    def planned(self) -> list[sql.Composable]:
        """Return the replay as a plan shows it: it runs only if entries wait, and after a TRUNCATE as a copy anew."""
        return [
            *provided(IF_WAITING, self.make(False)),
            *provided(AFTER_TRUNCATE, self.make(True)),
        ]

    def work(self) -> Work:
        """Return one round of replay, in a snapshot of its own."""
        return Work(
            self.step,
            self.pair.old,
            "replay what was written meanwhile",
            locks=[engine("lock_for_read", tables=comma(self.tables))],
            then=self.planned(),
            settings=COPY_SETTINGS,
            snapshot=True,
            outcome="replayed",
            provided=IF_WAITING,
        )


def catch_up(run: Run, replay: Replay, *, few: int = FEW_LEFT) -> int:
    """Replay until at most `few` entries came in meanwhile, or writers are as fast as we; return entries replayed."""
    total, last_said = 0, time.monotonic()
    for _ in range(MOST_ROUNDS):
        taken = replay_once(run, replay)
        total += taken
        if taken >= MANY_DEAD:
            run.session.execute(engine("vacuum_log", log=private(replay.pair.change_log)))
        if taken <= few:
            break
        if time.monotonic() - last_said > PROGRESS_SECONDS:
            run.say(f"{replay.pair.old}: {counted(total, 'change')} replayed so far")
            last_said = time.monotonic()
    return total


def vacuuming(step: str, pair: Pair, table: sql.Identifier) -> Work:
    """Return the vacuum of a table whose own autovacuum must not hold up the swap."""
    return Work(
        step, pair.old, "vacuum, so that no autovacuum is in the way", [engine("vacuum", table=table)], alone=True
    )


def catch_up_for_swap(run: Run, replays: Sequence[Replay], oids: list[int]) -> int:
    """Leave as little as can be to the locks that are asked for next, with no vacuum on `oids` in their way.

    Returns the entries replayed.
    """
    total = 0
    for _ in range(MOST_WAITS):
        total += sum(catch_up(run, replay, few=FEW_UNDER_LOCKS) for replay in replays)
        if not run.clear_autovacuum(oids):
            break
    return total


def replay_once(run: Run, replay: Replay) -> int:
    """Replay what waits, in one snapshot; return how many entries that were."""
    with rows_must_fit(replay.pair.old), begun(run, replay.work()) as session:
        rows = session.script_rows(change_log.count_waiting([(replay.pair, replay.target)]))
        (waiting,) = change_log.counted(rows)
        if waiting.entries:
            session.script(replay.script(waiting))
            run.record(replay.step, "replayed", pair=replay.pair.old, facts={"entries": waiting.entries})
    return waiting.entries
