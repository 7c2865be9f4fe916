"""What a merge of two coexisting tables has changed: put in doubt before an undo, and what it replaced is kept.

When that has to be is `undo`'s to say.
"""

from __future__ import annotations

from aicfg_pipeline.postgres.equality import keys_equal
from aicfg_pipeline.postgres.statements import columns, comma, engine, private, provided
from aicfg_pipeline.rollback.state import Look, PairState
from aicfg_pipeline.rollback.tables.forth import Forth, different
from aicfg_pipeline.rollback.work import Work

STEP = "undo"


def is_merged(look: Look, state: PairState) -> bool:
    """Say whether the rows were merged from two tables, and not yet put in doubt for this undo."""
    swapped = look.ledger.last("cut_over", pair=state.pair.old, outcome="done")
    ready = look.ledger.last(STEP, pair=state.pair.old, outcome="prepared")
    return bool(swapped and swapped.facts.get("superseded") and (ready is None or ready.id < swapped.id))


def doubting(forth: Forth, kept: str) -> Work:
    """Keep what the merge overwrote, and put in doubt what it changed; an empty table of the kept is not kept."""
    pair, doubtful = forth.pair, different(forth)
    keep = engine(
        "keep_rows",
        kept=private(kept),
        parked=forth.target,
        different=doubtful,
        keys_equal=keys_equal(pair.key, "parked", "different"),
    )
    doubt = engine("put_in_doubt", log=private(pair.change_log), keys=columns(pair.key), different=doubtful)
    return Work(
        STEP,
        pair.old,
        "keep the versions that the merge of two tables replaced, and put in doubt what it changed",
        then=[keep, doubt, *provided("no row was kept", [engine("drop_table", table=private(kept))])],
        locks=[engine("lock_for_read", tables=comma(forth.source.tables))],
        snapshot=True,
        outcome="prepared",
    )
