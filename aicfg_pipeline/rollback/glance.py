"""A cheap look, for the sensor: states, row counts and whether a run is under way. Full checks are `verify`'s."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from aicfg_pipeline.errors import LockTimeoutError, TimedOutError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.rollback.lock import RUN_LOCK
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.spec.model import Migration

COUNT_TIMEOUT_MS = "1500"


@dataclass(frozen=True)
class Glance:
    """What one tick saw. `rows` are exact unless `estimated`."""

    states: dict[str, str]
    rows: dict[str, int]
    estimated: bool
    running: str | None

    @property
    def mark(self) -> str:
        """A short hash of all that a change of should be looked into."""
        text = json.dumps([self.states, self.rows], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def glance(session: Session, migration: Migration) -> Glance:
    """Look once."""
    found = look(session, migration)
    holder = session.one(engine("lock_holder"), RUN_LOCK)
    rows, estimated = {}, False
    for state in found.pairs:
        for relation in (state.at_old_name, state.at_new_name):
            if relation is not None and relation.is_table:
                rows[relation.name], guessed = _count(session, relation)
                estimated = estimated or guessed
    running = f"pid {holder.pid} ({holder.application})" if holder else None
    return Glance(dict(found.summary), rows, estimated, running)


def _count(session: Session, relation: Relation) -> tuple[int, bool]:
    """Count exactly where that is quick, else take the server's estimate."""
    try:
        with session.transaction(
            read_only=True, settings={"statement_timeout": COUNT_TIMEOUT_MS, "row_security": "on"}
        ):
            return int(session.scalar(engine("count_rows", table=ident(relation.schema, relation.name)))), False
    except (LockTimeoutError, TimedOutError):
        return relation.estimated_rows, True
