"""Finds what refers to tables and is not ours. What that means, and what a person does about it, is for the caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine

PARTS = (
    "dependent_views",
    "dependent_rules",
    "dependent_foreign_keys",
    "dependent_functions",
    "dependent_policies",
    "dependent_publications",
    "dependent_subscriptions",
    "dependent_defaults",
    "dependent_columns",
    "dependent_inheritance",
)


def find_dependents(session: Session, oids: Sequence[int], name_patterns: Sequence[str] = ()) -> list[Any]:
    """Return rows of kind, name, refers_to and recreate, by kind and name, for what refers to these relations.

    Functions are found by their text too, where it matches one of `name_patterns`.
    """
    return _found(session, PARTS, oids, name_patterns)


def find_mentions(session: Session, name_patterns: Sequence[str]) -> list[str]:
    """Return the functions whose text matches one of the patterns."""
    return [f.name for f in _found(session, ("dependent_functions",), [], name_patterns)]


def _found(session: Session, kinds: Sequence[str], oids: Sequence[int], name_patterns: Sequence[str]) -> list[Any]:
    parts = sql.SQL("\nUNION ALL\n").join(engine(part) for part in kinds)
    return session.all(engine("dependents", parts=parts), {"oids": list(oids), "name_patterns": list(name_patterns)})


def find_others(session: Session, oid: int, ours: Sequence[int]) -> list[Any]:
    """Return the same for one table, without what its companions `ours` have: their keys come off before it goes."""
    found = find_dependents(session, [oid])
    if not found or set(ours) <= {oid}:
        return found
    others = find_dependents(session, [oid, *ours])
    of_others = {(f.kind, f.name) for f in others}
    return [f for f in found if (f.kind, f.name) in of_others]
