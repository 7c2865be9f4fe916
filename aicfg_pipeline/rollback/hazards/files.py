"""Hazards of the old tables' files: every block is run in a scratch schema, so that none fails for the first time in the run.

What a file touches outside that schema is refused there. Foreign keys are not made: they would lock what they refer to.
"""

from __future__ import annotations

from collections.abc import Iterator

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import text
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import TO_ROLL_BACK
from aicfg_pipeline.rollback.tables import ddl
from aicfg_pipeline.rollback.tables.grants import functions_there
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.spec.ddl import trigger_functions
from aicfg_pipeline.spec.model import Migration, Pair

BLOCKS = ("indexes", "row_level_security", "grants", "comments")


def find(subject: Subject) -> Iterator[Hazard]:
    """Run the file of every pair that would be rolled back."""
    session, migration = subject.session, subject.migration
    for state in subject.look.in_state(*TO_ROLL_BACK):
        block = "table"
        try:
            with scratch_table(session, migration, state.pair.old_ddl, state.pair.old):
                for block in (b for b in BLOCKS if b in state.pair.old_ddl.blocks):
                    ddl.run_blocks(session, state.pair.old_ddl, block)
                block = "triggers"
                _run_triggers(session, migration, state.pair)
        except DatabaseError as error:
            yield Hazard(
                "file_fails",
                f"{state.pair.old_ddl.path}, block {block}: {error.found}",
                "Mend what the server names, in the file or in the database.",
                state.pair.old,
                {"block": block},
            )


def _run_triggers(session: Session, migration: Migration, pair: Pair) -> None:
    """Make the triggers. A function that is there is not replaced: someone else may be replacing it just now."""
    functions = {statement: function for function, statement in trigger_functions(pair, migration.schema)}
    there = {(f.schema, f.name) for f in functions_there(session, functions.values())}
    block = pair.old_ddl.blocks.get("triggers")
    for statement in block.statements if block else ():
        if functions.get(statement) not in there:
            session.execute(text(statement))
