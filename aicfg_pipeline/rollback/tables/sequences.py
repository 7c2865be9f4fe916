"""Sequences of identity and serial columns go on where the other table's left off: no value is handed out twice.

When to advance them is the steps' business: with all writers locked out, right before names change.
"""

from __future__ import annotations

from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident


def advance_statements(
    session: Session, source: Relation, target: Relation, *, schema: str | None = None
) -> list[sql.Composable]:
    """Return what brings the sequences of `target` up to `source`'s and to the values that `target` holds.

    With `schema`, `target` is only made like the table, which is or will be in that schema.

    A column's own values count only where an index has the greatest ready: without one nothing asks that they be
    unique, and the locks under which this runs are held for milliseconds. `setval` is not undone by a rollback, which
    does no harm: a sequence may skip values.
    """
    there = {s.column: s for s in session.all(engine("sequences_of"), {"oid": source.oid})}
    return [
        statement
        for own in session.all(engine("sequences_of"), {"oid": target.oid})
        if (statement := _advance(own, there.get(own.column), target, schema)) is not None
    ]


def _advance(own: Any, other: Any | None, target: Relation, schema: str | None) -> sql.Composed | None:
    latest = sql.SQL("pg_catalog.min" if own.descending else "pg_catalog.max")
    place = ident(schema or own.schema, own.name)
    values = [engine("last_handed_out", sequence=place)]
    if other is not None:
        values.append(engine("last_handed_out", sequence=ident(other.schema, other.name)))
    if own.indexed:
        table = ident(schema or target.schema, target.name)
        values.append(engine("last_in_column", latest=latest, column=ident(own.column), table=table))
    if len(values) == 1:
        return None
    name = sql.Literal(place.as_string(None))
    return engine("advance_sequence", sequence=name, latest=latest, values=sql.SQL(" UNION ALL ").join(values))
