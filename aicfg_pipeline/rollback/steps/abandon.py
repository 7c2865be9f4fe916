"""Gives a rollback up that has not cut over: shadows, change logs and triggers go, nothing has changed for anyone.

What is cut over is taken back by `undo`.
"""

from __future__ import annotations

from collections.abc import Iterator

from aicfg_pipeline.errors import StateError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, UNDOABLE, Look, PairState
from aicfg_pipeline.rollback.steps.copy_back import discard, discarding
from aicfg_pipeline.rollback.tables import beside
from aicfg_pipeline.rollback.work import Work

BECAUSE = "given up"


def abandon(run: Run) -> list[str]:
    """Take away what a rollback has made so far. Returns the pairs it was for; none where there is nothing of ours.

    Raises `StateError` where a pair is cut over: that is not given up but undone.
    """
    look = run.look()
    cut = look.in_state(*UNDOABLE)
    if cut:
        raise StateError(
            "This rollback is past giving up: the names have changed.",
            complaints=[f"{s.pair.old}: {s.because}" for s in cut],
            expected="no pair to be cut over",
            remedy="Launch the job undo_rollback.",
        )
    begun = _begun(run, look)
    for state in begun:
        discard(run, state, BECAUSE)
        run.say(f"{state.pair.old}: given up; its shadow, change log and triggers are gone")
    built = [s for s in look.in_state(*TO_ROLL_BACK) if beside.take_away(run, s.pair, s.new_table)]
    for state in built:
        run.say(f"{state.pair.old}: given up; what was built on {state.pair.new} for the swap is gone")
    if not begun and not built:
        run.say("abandon: nothing to give up, nothing of a rollback is here")
    return list(dict.fromkeys(s.pair.old for s in (*begun, *built)))


def _begun(run: Run, look: Look) -> list[PairState]:
    """Return the pairs that have anything of ours: a shadow, a log, or triggers on a live table."""
    return [
        s
        for s in look.in_state(*TO_ROLL_BACK)
        if s.shadow or s.log or any(catalog.our_triggers(run.session, r.oid, s.pair.change_log) for r in s.live_tables)
    ]


def works(run: Run, look: Look) -> Iterator[Work]:
    """Yield what this step does."""
    for state in _begun(run, look):
        yield discarding(run, state)
    for state in look.in_state(*TO_ROLL_BACK):
        for row in beside.left(run.session, state.new_table):
            yield beside.taking_away(state.pair, state.new_table, row)
