"""Whether a rollback would go through as things are: the hazards of the rows, watched before anyone needs one.

A warning, never a gate: the plan is the gate. What each hazard looks for is in `hazards.rows`.
"""

from __future__ import annotations

from aicfg_pipeline.errors import LockTimeoutError
from aicfg_pipeline.rollback.checks.check import Verdict, check, failed, not_applicable, passed
from aicfg_pipeline.rollback.checks.inspection import Inspection, taken_further
from aicfg_pipeline.rollback.hazards import Hazard, Subject
from aicfg_pipeline.rollback.hazards.rows import of_pair
from aicfg_pipeline.rollback.run import Settings
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, State
from aicfg_pipeline.spec.model import Pair

NOT_POSSIBLE = "A rollback is not possible because"


@check("rollback_possible", asset="new", severity="WARN")
def rollback_possible(inspection: Inspection, pair: Pair) -> Verdict:
    """The rows satisfy what the old table asks for, so that a rollback stays possible."""
    state = inspection.state(pair)
    if (earlier := taken_further(inspection, pair)) is not None:
        return not_applicable(f"It was rolled back, and {pair.old} was taken back further by the migration {earlier}.")
    if state.state == State.MISSING:
        return failed(f"{NOT_POSSIBLE} the tables are missing: {state.because}.")
    if state.state not in TO_ROLL_BACK:
        return not_applicable(f"There is nothing to roll back ({state.state}).")
    subject = Subject(inspection.session, inspection.migration, inspection.look, Settings(), must_confirm=False)
    try:
        found = [h for h in of_pair(subject, state) if not h.acceptable]
    except LockTimeoutError as error:
        return failed(f"Whether a rollback is possible could not be found out now: {error.found}")
    if not found:
        return passed(f"Every row of {pair.new} satisfies what {pair.old} asks for.")
    facts = {"hazards": [{"code": h.code, "found": h.found, "remedy": h.remedy} for h in found]}
    return failed(f"{NOT_POSSIBLE} {'; '.join(_told(h) for h in found)}", facts)


def _told(hazard: Hazard) -> str:
    since = hazard.facts.get("since")
    return f"{hazard.found.rstrip('.')}{f', at least since {since}' if since else ''}."
