"""A plan as one file that a person can read from top to bottom, and run in psql.

What is known only at run time stands as a variable of psql. Making the plan is `plan`'s.
"""

from __future__ import annotations

from collections.abc import Iterator

from aicfg_pipeline.rollback.steps.plan import Plan, Planned
from aicfg_pipeline.rollback.tables.catch_up import AFTER_TRUNCATE

_HEAD = r"""-- {title}
--
-- Every statement of the plan in the order in which the pipeline runs it, each under the line that says why. A statement
-- with "only if" is left out where that is not the case; run by hand, all but those after a TRUNCATE do no harm.
-- The pipeline does more than this: it retries for locks, compares and stops, verifies, and remembers facts for undo.
--
-- To run it: psql -X -f plan.sql, as the owner of the tables, with nothing else of this pipeline at work.

\set ON_ERROR_STOP on
\set run_id 'by hand'
\set plan_hash 'none'
\set facts '{{}}'
\set truncated false
SET client_min_messages TO warning;
"""


def script(plan: Plan, title: str) -> str:
    """Return the plan's statements as a script for psql."""
    return "\n".join([_HEAD.format(title=title), *_parts(plan.statements)]) + "\n"


def _parts(statements: tuple[Planned, ...]) -> Iterator[str]:
    part = ("", "")
    for statement in statements:
        now = (statement.step, statement.pair or "")
        if now != part:
            part = now
            yield f"-- {'=' * 20} {' '.join(now).strip()} {'=' * 20}\n"
        yield _shown(statement)


def _shown(statement: Planned) -> str:
    lines = [f"-- {statement.why}"]
    if statement.provided:
        lines.append(f"-- only if {statement.provided}")
    text = f"{statement.sql};"
    if statement.provided == AFTER_TRUNCATE:
        text = f"\\if :truncated\n{text}\n\\endif"
    return "\n".join([*lines, text, ""])
