"""Hazards of what the old table shares with tables of others: functions that its triggers call."""

from __future__ import annotations

from collections.abc import Iterator

from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import TO_ROLL_BACK
from aicfg_pipeline.rollback.tables.trigger_functions import former_functions


def find(subject: Subject) -> Iterator[Hazard]:
    """Look for trigger functions whose text the old file would change for tables that are not ours."""
    for state in subject.look.in_state(*TO_ROLL_BACK):
        for function in former_functions(subject.session, subject.migration, subject.look, state.pair):
            if function.same or not function.used_by:
                continue
            name = f"{function.schema}.{function.name}()"
            yield Hazard(
                "shared_function",
                f"The function {name} is also called by triggers on {', '.join(function.used_by)}, and its text is not"
                f" that of {state.pair.old_ddl.path}: the cut-over replaces it for all of them.",
                "Give the function in the file a name of its own, or the text that it has; or accept it. The present"
                " definition is kept in the ledger, and undo puts it back.",
                state.pair.old,
                {"function": name, "used_by": list(function.used_by), "definition": function.definition},
            )
