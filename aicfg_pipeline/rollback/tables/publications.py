"""Publications that name a pair's table, and its replica identity: both go to the table that takes its place, both ways.

A publication of a whole schema or of all tables names no table; `surroundings` tells of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, engine, ident, private, text
from aicfg_pipeline.rollback.tables.counterparts import counterparts, renamed
from aicfg_pipeline.rollback.tables.sources import Way
from aicfg_pipeline.spec.model import Pair

IDENTITY = "replica_identity"
"""Under this name the ledger's row of a swap has the replica identity that the table was given, and its file does not say."""

_WORDS = {"f": "FULL", "n": "NOTHING", "d": "DEFAULT"}


@dataclass(frozen=True)
class Membership:
    """One publication's naming of a pair's table. `why_not` says why this role can't change it, or None."""

    pair: Pair
    publication: str
    label: str
    leaves: sql.Composable
    joins: sql.Composable
    why_not: str | None

    @property
    def statements(self) -> list[sql.Composable]:
        """Return what takes the one table out of the publication and puts the other one in."""
        return [self.leaves, self.joins]


def find_memberships(
    session: Session, way: Way, place: tuple[str, str], left: sql.Composable | None = None
) -> list[Membership]:
    """Return the publications that name the way's source, as they will name its target, which is at `place` by then.

    The source is `left` by then; without it, it is parked.
    """
    rows = session.all(engine("publication_members"), {"oid": way.source.oid})
    return [_membership(way, place, left or private(way.source.name), row) for row in rows]


def _membership(way: Way, place: tuple[str, str], left: sql.Composable, row: Any) -> Membership:
    same, publication = counterparts(way), ident(row.publication)
    listed = None if row.columns is None else [same.get(c, "") for c in row.columns]
    told, missing = renamed(row.filter, way, same) if row.filter else (None, [])
    missing += [c for c in row.columns or () if c not in same]
    joins = engine(
        "join_publication",
        publication=publication,
        table=ident(*place),
        columns=sql.SQL("") if listed is None else sql.SQL(" ({})").format(columns(listed)),
        filter=sql.SQL("") if told is None else sql.SQL(" WHERE ({})").format(text(told)),
    )
    why_not = None
    if missing:
        named = ", ".join(sorted(set(missing)))
        why_not = f"{named} of {way.of} has no column of {way.to} with the same values and the same type"
    elif not row.may:
        why_not = f"the publication belongs to {row.owner}, and this role is not a member of it"
    leaves = engine("leave_publication", publication=publication, table=left)
    return Membership(way.pair, row.publication, row.label, leaves, joins, why_not)


@dataclass(frozen=True)
class Identity:
    """A replica identity that the target has to be given. `why_not` says why that can't be, or None."""

    pair: Pair
    kind: str
    named: str
    statements: tuple[sql.Composable, ...]
    why_not: str | None


def find_identity(session: Session, way: Way, place: tuple[str, str]) -> Identity | None:
    """Return the source's replica identity where the target has none of its own; None where there is nothing to do."""
    have, wanted = (session.one(engine("replica_identity"), {"oid": r.oid}) for r in (way.source, way.target))
    if have.kind == "d" or wanted.kind != "d":
        return None
    if have.kind != "i":
        said: sql.Composable = text(_WORDS[have.kind])
        return Identity(way.pair, have.kind, _WORDS[have.kind], (_setting(place, said),), None)
    same = counterparts(way)
    indexes = session.all(engine("identity_indexes"), {"oid": way.target.oid})
    there = _index_of([same.get(c, "") for c in have.columns], indexes)
    if there is None:
        why = (
            f"{way.to} has no unique index of {', '.join(have.columns)} without NULL, which is what changes are told by"
        )
        return Identity(way.pair, "i", "", (), why)
    said = sql.SQL("USING INDEX {}").format(ident(there))
    return Identity(way.pair, "i", there, (_setting(place, said),), None)


def _index_of(wanted: Sequence[str], indexes: Sequence[Any]) -> str | None:
    return next((str(i.name) for i in indexes if sorted(i.columns) == sorted(wanted)), None)


def _setting(place: tuple[str, str], identity: sql.Composable) -> sql.Composable:
    return engine("set_replica_identity", table=ident(*place), identity=identity)
