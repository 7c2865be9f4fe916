"""Step 4, the gate after: every check of every pair. A check that fails stops the run before the drop.

The checks themselves are in `checks` and its neighbours; what to show of them is the orchestration's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aicfg_pipeline.errors import GateError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.checks.check import Check, CheckFunction, Kind, Watch
from aicfg_pipeline.rollback.checks.data import DATA_CHECKS
from aicfg_pipeline.rollback.checks.leftovers import api_schema_cache, new_tables_gone, nothing_left, views_gone
from aicfg_pipeline.rollback.checks.possible import rollback_possible
from aicfg_pipeline.rollback.checks.references import references
from aicfg_pipeline.rollback.checks.rows import rows
from aicfg_pipeline.rollback.checks.security import grants, row_level_security
from aicfg_pipeline.rollback.checks.structure import structure
from aicfg_pipeline.rollback.checks.view import view_agrees, view_lifetime, view_security
from aicfg_pipeline.rollback.checks.visibility import view_visible_rows, visible_rows
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.spec.model import Migration

CHECKS: tuple[CheckFunction, ...] = (
    *DATA_CHECKS,
    rows,
    structure,
    row_level_security,
    grants,
    visible_rows,
    references,
    new_tables_gone,
    views_gone,
    nothing_left,
    api_schema_cache,
    view_agrees,
    view_security,
    view_visible_rows,
    view_lifetime,
    rollback_possible,
)


@dataclass(frozen=True)
class CheckInfo:
    """What is known of a check before it runs: its name, the kind of asset it is about, and what it looks at."""

    name: str
    asset: Kind
    description: str


def _info(check: CheckFunction) -> Iterator[CheckInfo]:
    description = (check.__doc__ or check.__name__).strip().splitlines()[0]
    assets: tuple[Kind, ...] = getattr(check, "assets", ("old",))
    for asset in assets:
        yield CheckInfo(check.__name__, asset, description)


CATALOG: tuple[CheckInfo, ...] = tuple(info for check in CHECKS for info in _info(check))


def watch(session: Session, migration: Migration) -> Watch:
    """Look once, for all checks."""
    return Watch(session, migration, look(session, migration))


def run_checks(
    session: Session, migration: Migration, only: Sequence[tuple[str, str]] | None = None, *, on: Watch | None = None
) -> list[Check]:
    """Run all checks, or only the named ones as (pair, check name); `on` shares what was looked at already."""
    seen = on or watch(session, migration)
    return [
        check(seen, pair)
        for pair in migration.pairs
        for check in CHECKS
        if only is None or (pair.old, check.__name__) in only
    ]


def failed(checks: Sequence[Check]) -> list[Check]:
    """Return the checks that stop a run."""
    return [c for c in checks if not c.passed and c.severity == "ERROR"]


def gate(checks: Sequence[Check], remedy: str) -> None:
    """Raise `GateError` naming every check that failed."""
    wrong = failed(checks)
    if wrong:
        raise GateError(
            f"{len(wrong)} of {len(checks)} checks failed.",
            complaints=[f"{c.pair}: {c.name}: {c.summary}" for c in wrong],
            expected="every check to pass",
            remedy=remedy,
        )
