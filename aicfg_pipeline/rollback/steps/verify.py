"""Step 4, the gate after: every check of every pair. A check that fails stops the run before the drop.

The checks themselves are in `checks`; what to show of them is the orchestration's.
"""

from __future__ import annotations

from collections.abc import Sequence

from aicfg_pipeline.errors import GateError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.checks.check import Check, PairCheck, Tally
from aicfg_pipeline.rollback.checks.data import checksum, row_count
from aicfg_pipeline.rollback.checks.inspection import Inspection
from aicfg_pipeline.rollback.checks.kept import new_table_kept
from aicfg_pipeline.rollback.checks.leftovers import (
    api_schema_cache,
    log_size,
    new_tables_gone,
    nothing_left,
    views_gone,
)
from aicfg_pipeline.rollback.checks.possible import rollback_possible
from aicfg_pipeline.rollback.checks.references import references
from aicfg_pipeline.rollback.checks.rows import rows
from aicfg_pipeline.rollback.checks.security import grants, row_level_security
from aicfg_pipeline.rollback.checks.structure import structure
from aicfg_pipeline.rollback.checks.surroundings import functions, private_schema, readers, roles, sequences
from aicfg_pipeline.rollback.checks.view import view_agrees, view_lifetime, view_security
from aicfg_pipeline.rollback.checks.visibility import view_visible_rows, visible_rows
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.spec.model import Migration

CHECKS: tuple[PairCheck, ...] = (
    row_count,
    checksum,
    rows,
    structure,
    row_level_security,
    grants,
    visible_rows,
    functions,
    roles,
    readers,
    sequences,
    private_schema,
    references,
    new_table_kept,
    new_tables_gone,
    views_gone,
    nothing_left,
    log_size,
    api_schema_cache,
    view_agrees,
    view_security,
    view_visible_rows,
    view_lifetime,
    rollback_possible,
)


def inspect(session: Session, migration: Migration, *, just_proven: bool = False) -> Inspection:
    """Look once, for all checks; `just_proven` is for the run that has compared and swapped itself."""
    return Inspection(session, migration, look(session, migration), just_proven=just_proven)


def run_checks(
    session: Session,
    migration: Migration,
    only: Sequence[tuple[str, str]] | None = None,
    *,
    on: Inspection | None = None,
) -> list[Check]:
    """Run all checks, or only the named ones as (pair, check name); `on` shares what was looked at already."""
    seen = on or inspect(session, migration)
    return [
        check(seen, pair)
        for pair in migration.pairs
        for check in CHECKS
        if only is None or (pair.old, check.name) in only
    ]


def failed(checks: Sequence[Check]) -> list[Check]:
    """Return the checks that stop a run."""
    return [c for c in checks if c.failed and c.severity == "ERROR"]


def gate(checks: Sequence[Check], remedy: str) -> None:
    """Raise `GateError` naming every check that failed."""
    wrong = failed(checks)
    if wrong:
        raise GateError(
            f"{len(wrong)} of {Tally.of(checks).applied} checks failed.",
            complaints=[f"{c.pair}: {c.name}: {c.summary}" for c in wrong],
            expected="every check to pass",
            remedy=remedy,
        )
