"""Ends a preparation: every shadow is there, proven, and follows its live table until somebody switches.

The way there is `copy_back` and `compare`. The switch is `cut_over`, giving up is `abandon`.
"""

from __future__ import annotations

from aicfg_pipeline.errors import StateError
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import PREPARED_BY, TO_ROLL_BACK, WITH_SHADOW, PairState, State
from aicfg_pipeline.rollback.steps import instant
from aicfg_pipeline.rollback.tables import seen_before
from aicfg_pipeline.rollback.tables.preparation import Preparation, preparation
from aicfg_pipeline.rollback.work import Work, begun


def must_be_possible(run: Run) -> None:
    """Raise `StateError` where a pair is past preparing, or never was in need of it."""
    look = run.look()
    if instant.way_of(run, look).instant:
        raise StateError(
            "There is nothing to prepare: the tables are renamed where they are, and no row is copied. Nothing was touched.",
            expected="a migration of which rows have to be copied",
            remedy="Launch the job rollback; it holds its locks for milliseconds at any size.",
        )
    others = [s for s in look.pairs if s.state not in TO_ROLL_BACK]
    if others:
        raise StateError(
            "There is nothing to prepare. Nothing was touched.",
            complaints=[f"{s.pair.old}: {s.state} ({s.because})" for s in others],
            expected="every pair to be migrated, and not rolled back yet",
            remedy="Launch the job plan: it says what can be done from here.",
        )


def prepare(run: Run) -> dict[str, Preparation]:
    """Write that every proven shadow waits for the switch. Returns how well each pair is prepared, by old name."""
    for state in run.look().in_state(*WITH_SHADOW):
        assert state.shadow is not None
        seen = seen_before.to_be_relied_on(run.session, run.migration, state)
        facts = {"shadow_oid": state.shadow.oid, "confirmed": run.session.target, **seen}
        with begun(run, waiting(state)):
            run.record(*PREPARED_BY, pair=state.pair.old, facts=facts)
    look = run.look()
    found = [preparation(run.session, run.migration, look.ledger, s) for s in look.in_state(State.PREPARED)]
    return {p.old: p for p in found if p is not None}


def waiting(state: PairState) -> Work:
    """Return what this step does to a pair: nothing but saying so."""
    return Work(PREPARED_BY[0], state.pair.old, "the shadow waits for the switch", outcome=PREPARED_BY[1])
