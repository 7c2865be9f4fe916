"""A cheap look, for the sensor: states, row counts, hashes of the catalog, and whether a run is under way.

The hashes say that something is not what it was, by kind; whether it is as it should be is `verify`'s to find out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aicfg_pipeline.errors import LockTimeoutError, TimedOutError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.rollback.lock import RUN_LOCK
from aicfg_pipeline.rollback.state import Look, look
from aicfg_pipeline.spec.model import Migration

COUNT_TIMEOUT_MS = "1500"
CATALOG_TIMEOUT_MS = "5000"


@dataclass(frozen=True)
class Glance:
    """What one tick saw. `rows` are exact unless `estimated`; `catalog` has a hash for each kind of catalog fact.

    `sessions` are the application names of all sessions of this pipeline on the database.
    """

    states: dict[str, str]
    rows: dict[str, int]
    estimated: bool
    running: str | None
    catalog: dict[str, str] = field(default_factory=dict)
    sessions: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """A short hash of all that a change of should be looked into."""
        text = json.dumps([self.states, self.rows, self.catalog], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def changes(self, before: Mapping[str, Any]) -> list[str]:
        """Say what is not as it was `before`, given as `states`, `rows` and `catalog` of an earlier look."""
        found = [f"state of {old}: {state}" for old, state in _other(before, "states", self.states)]
        found += [f"rows of {name}: {count}" for name, count in _other(before, "rows", self.rows)]
        return found + [kind for kind, _ in _other(before, "catalog", self.catalog)]


def _other(before: Mapping[str, Any], what: str, now: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what has another value now than before, or is only there now, or was only there before."""
    earlier: Mapping[str, Any] = before.get(what) or {}
    return [(k, now.get(k, "none")) for k in dict.fromkeys([*now, *earlier]) if now.get(k) != earlier.get(k)]


def glance(session: Session, migration: Migration) -> Glance:
    """Look once."""
    found = look(session, migration)
    rows, estimated = {}, False
    for state in found.pairs:
        for relation in (state.at_old_name, state.at_new_name):
            if relation is not None and relation.is_table:
                rows[relation.name], guessed = _count(session, relation)
                estimated = estimated or guessed
    running, sessions = who_works(session)
    return Glance(dict(found.summary), rows, estimated, running, _catalog(session, migration, found), sessions)


def who_works(session: Session) -> tuple[str | None, tuple[str, ...]]:
    """Return who holds the run lock, if anybody, and the application names of all sessions of this pipeline here."""
    holder = session.one(engine("lock_holder"), RUN_LOCK)
    running = f"pid {holder.pid} ({holder.application})" if holder else None
    return running, tuple(r.name for r in session.all(engine("our_sessions")))


def _catalog(session: Session, migration: Migration, found: Look) -> dict[str, str]:
    """Hash the catalog facts of all that is watched, by kind."""
    watched = [
        relation.oid
        for state in found.pairs
        for relation in (state.at_old_name, state.at_new_name, state.private_old, state.private_new)
        if relation is not None
    ]
    given = {
        "oids": watched,
        "roles": [*migration.required_roles, *(p.role for p in migration.personas)],
        "patterns": [rf"\m{re.escape(name)}\M" for p in migration.pairs for name in (p.old, p.new)],
    }
    try:
        return _hashes(session, "called_functions", given)
    except TimedOutError:  # a long chain of functions that call each other
        return _hashes(session, "directly_called_functions", given)


def _hashes(session: Session, called: str, given: Mapping[str, Any]) -> dict[str, str]:
    with session.transaction(read_only=True, settings={"statement_timeout": CATALOG_TIMEOUT_MS}):
        hashes = session.all(engine("catalog_hashes", called=engine(called)), given)
    return {r.kind: r.hash for r in hashes}


def _count(session: Session, relation: Relation) -> tuple[int, bool]:
    """Count exactly where that is quick, else take the server's estimate."""
    try:
        with session.transaction(
            read_only=True, settings={"statement_timeout": COUNT_TIMEOUT_MS, "row_security": "on"}
        ):
            return int(session.scalar(engine("count_rows", table=ident(relation.schema, relation.name)))), False
    except (LockTimeoutError, TimedOutError):
        return relation.estimated_rows, True
