"""What would be lost of a table's values on their way into another table's columns, judged by sending them there and back.

Whether that stops a run is the hazards' to say; what is done with a table that would lose something, the steps'.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.postgres.catalog import Column
from aicfg_pipeline.postgres.equality import keys_equal, present
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import comma, engine, ident, text
from aicfg_pipeline.rollback.tables import change_log
from aicfg_pipeline.rollback.tables.counting import tally
from aicfg_pipeline.rollback.tables.sources import Way


@dataclass(frozen=True)
class Change:
    """A column whose type differs: rows for which `broken` is true hold a value that does not come back."""

    have: Column
    wanted: Column
    broken: sql.Composable


def wider(have: Column, wanted: Column) -> bool:
    """Say whether it is the same type, or the same without a length."""
    return have.type == wanted.type or (have.base_type == wanted.base_type == wanted.type)


def judged(session: Session, way: Way, have: Column, wanted: Column) -> Change | str:
    """Return how the values of a column are judged, or why the server can't read them as the other type at all."""
    column = ident("source", have.name)
    complaint = _complaint(session, way, sql.SQL("CAST({} AS {})").format(column, text(wanted.type)))
    if complaint:
        return complaint
    # of a number without a scale only the value counts: what comes back with other zeros at its end is the same
    block = "changes_in_value" if have.type == "numeric" else "changes_there_and_back"
    broken: sql.Composable = engine(block, column=column, other=text(wanted.type), own=text(have.type))
    if _complaint(session, way, broken):
        broken = present(column)
    return Change(have, wanted, broken)


def _complaint(session: Session, way: Way, expression: sql.Composable) -> str | None:
    """Return what the server says against an expression, before it reads a row."""
    try:
        with session.savepoint():
            session.all(engine("try_cast", expression=expression, table=way.table))
    except DatabaseError as error:
        return error.found
    return None


def not_made_again(session: Session, way: Way, name: str) -> int:
    """Count the rows in which a derived column has another value than would be made from what goes over."""
    key, types = way.pair.key, {c.name: c.type for c in way.have}
    count = session.scalar(
        engine(
            "not_made_again",
            live=way.table,
            source=way.rows.query,
            keys=comma(ident("source", k) for k in key),
            expression=text(way.mapping.derived[name]),
            keys_equal=keys_equal(key, "live", "again"),
            column=ident("live", name),
            type=text(types[name]),
        )
    )
    return int(count)


def lost(session: Session, way: Way) -> tuple[str, ...]:
    """Return the columns with values that the other side does not have, or has as another value."""
    have, wanted = {c.name: c for c in way.have}, {c.name: c for c in way.wanted}
    broken: dict[str, sql.Composable] = {n: present(ident("source", n)) for n in way.mapping.unplaced}
    names = [n for n in way.mapping.derived if not_made_again(session, way, n)]
    for name in way.mapping.plain:
        if not wider(have[name], wanted[name]):
            change = judged(session, way, have[name], wanted[name])
            broken[name] = present(ident("source", name))
            if isinstance(change, Change):
                broken[name] = change.broken
    try:
        with session.savepoint():
            counts = tally(session, way.table, list(broken.values()))
    except DatabaseError:  # a value that can't be read as the other type: it is lost if it is let go
        return (*names, *broken)
    return (*names, *(n for n, count in zip(broken, counts, strict=True) if count))


# --- once more under the locks ---------------------------------------------------------------------------------


GUARDED = {
    "AICF1": "a table has got or lost a column",
    "AICF2": "a value was written into a column that has no place on the other side",
    "AICF3": "a value was written that would be another one in the type of the other side",
}
"""What a guard has found, by the SQLSTATE that it raises."""


def guards(session: Session, way: Way, *, accepted: Collection[str]) -> list[sql.Composable]:
    """Return what fails, and the swap with it, where the source is not what was looked at right before the locks.

    Only rows that wait in the log are looked at. What a hazard in `accepted` is about may stay behind.
    """
    same = engine(
        "same_columns",
        table=sql.Literal(way.table.as_string(None)),
        columns=sql.Literal([c.name for c in way.have]),
    )
    found: list[sql.Composable] = [same]
    if "unmapped_column" not in accepted and way.mapping.unplaced:
        filled = [present(ident("source", n)) for n in way.mapping.unplaced]
        found.append(_guard("still_nothing_unplaced", way, filled))
    if "values_change" not in accepted and (broken := _changing(session, way)):
        found.append(_guard("still_nothing_changes", way, broken))
    return found


def _guard(block: str, way: Way, broken: Sequence[sql.Composable]) -> sql.Composable:
    equal = keys_equal(way.pair.key, "wanted", "source")
    wanted = change_log.wanted_keys(way.pair)
    return engine(block, wanted=wanted, table=way.table, keys_equal=equal, broken=sql.SQL(" OR ").join(broken))


def _changing(session: Session, way: Way) -> list[sql.Composable]:
    """Return for each column of another type when its value would be another one; what can't be copied fails by itself."""
    have, wanted = {c.name: c for c in way.have}, {c.name: c for c in way.wanted}
    differ = [n for n in way.mapping.plain if not wider(have[n], wanted[n])]
    changes = [judged(session, way, have[n], wanted[n]) for n in differ]
    return [c.broken for c in changes if isinstance(c, Change)]
