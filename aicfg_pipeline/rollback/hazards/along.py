"""What of others refers to the tables and can't go along with a swap: each is named with the reason.

What can go along is no hazard: the plan lists its statements. Other kinds of dependents are `surroundings`' and `undoing`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, State
from aicfg_pipeline.rollback.tables.along import Along, along_back, along_forth
from aicfg_pipeline.rollback.tables.scratch import scratch_tables

KINDS = ("foreign key", "publication")
"""The kinds of `dependents` that are looked at here, where they refer to the table itself."""


def find(subject: Subject) -> Iterator[Hazard]:
    """Look at what refers to the new tables of pairs that are to be rolled back."""
    session, states = subject.session, subject.look.in_state(*TO_ROLL_BACK)
    found: list[Hazard] = []
    try:
        with scratch_tables(
            session, subject.migration, {s.pair.old: s.pair.old_ddl for s in states}, "indexes"
        ) as made:
            found += told(session, along_back(session, subject.look, states, made), "a new table", "the parked one")
    except DatabaseError:
        return  # a file that can't be run is told by others
    yield from found


def forth(subject: Subject) -> Iterator[Hazard]:
    """Look at what refers to the old tables of pairs that are to be undone."""
    session, states = subject.session, subject.look.in_state(State.CUT_OVER)
    with session.transaction(read_only=True):  # an empty search path: every name is qualified
        yield from told(session, along_forth(session, subject.look, states), "an old table", "the retired one")


def of_others(found: Sequence[Any], tables: Sequence[Relation]) -> list[Any]:
    """Return those dependents of tables that are not looked at here."""
    oids = {t.oid for t in tables}
    return [d for d in found if not (d.kind in KINDS and d.refers_to in oids)]


def told(session: Session, along: Along, of: str, stays: str) -> Iterator[Hazard]:
    """Yield a hazard for each that can't go along; `of` is what it refers to, and `stays` to what it would go on referring."""
    for key in (k for k in along.keys if k.why_not):
        again = f"ALTER TABLE {_text(session, key.schema, key.table)} ADD CONSTRAINT {_text(session, key.name)} {key.definition}"
        yield Hazard(
            "dependents",
            f"The foreign key {key.label} refers to {of}, and can't go along: {key.why_not}. It would go on referring to"
            f" {stays}.",
            f"Point it at the table in use after the swap, or drop it before. To make it again: {again}",
            key.pair.old,
            {"kind": "foreign key", "name": key.label, "recreate": again},
        )
    for member in (m for m in along.members if m.why_not):
        statements = "; ".join(" ".join(s.as_string(session.connection).split()) for s in member.statements)
        yield Hazard(
            "dependents",
            f"The publication {member.label} publishes {of}, and can't go along: {member.why_not}. It would go on"
            f" publishing {stays}.",
            f"Drop the table from it before, or have its owner run after the swap, as far as it goes: {statements}",
            member.pair.old,
            {"kind": "publication", "name": member.label, "recreate": statements},
        )
    for identity in (i for i in along.identities if i.why_not):
        yield Hazard(
            "dependents",
            f"The replica identity of {of} can't go along: {identity.why_not}.",
            "Name the index in the old table's file, or set a replica identity after the swap: subscribers need one for"
            " UPDATE and DELETE.",
            identity.pair.old,
            {"kind": "replica identity", "name": identity.pair.old, "recreate": ""},
        )


def _text(session: Session, *names: str) -> str:
    return sql.Identifier(*names).as_string(session.connection)
