"""Hazards in the columns: those with values and no place on the other side, and those that nothing fills.

For either direction and either live table: every column reaches the other side, or is named here. What becomes of the
values of those that do is `types`'.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from aicfg_pipeline.postgres.equality import present
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import ident
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.hazards.hazard import Hazard
from aicfg_pipeline.rollback.tables.counting import tally
from aicfg_pipeline.rollback.tables.losses import not_made_again
from aicfg_pipeline.rollback.tables.sources import Way


def of_way(session: Session, way: Way, *, filled: Collection[str] = ()) -> Iterator[Hazard]:
    """Look at the columns of one way. `filled` are target columns that another table fills."""
    unknown = list(_unknown(way))
    if unknown:
        yield from unknown
        return
    yield from _passed_over(way)
    yield from _unplaced(session, way)
    yield from _derived(session, way)
    yield from _unfilled(way, filled)


def _unfilled(way: Way, filled: Collection[str]) -> Iterator[Hazard]:
    for column in way.wanted:
        nothing = column.name in way.mapping.unfilled and column.name not in filled
        if nothing and column.not_null and not column.has_default:
            yield Hazard(
                "violates_not_null",
                f"{way.to}.{column.name} must have a value, and {way.of} has no column for it.",
                f"Give it an expression in migration.yaml ({way.said}).",
                way.pair.old,
                {"column": column.name},
            )


def _unknown(way: Way) -> Iterator[Hazard]:
    """The old table is the file's; the new one is what was found, and may be older than migration.yaml."""
    if way.said == "forth":
        return
    for name in sorted(set(way.pair.back) - {c.name for c in way.wanted}):
        yield Hazard(
            "type_mismatch",
            f"migration.yaml (back) fills {way.to}.{name}, and {way.to} has no such column.",
            f"Correct the name in migration.yaml, or add the column to {way.pair.old_ddl.path}.",
            way.pair.old,
            {"column": name, "unreadable": True},
        )


def _passed_over(way: Way) -> Iterator[Hazard]:
    for name, missing in way.mapping.passed_over.items():
        why = f"it reads {', '.join(missing)}, which {way.of} does not have" if missing else "that column wins"
        yield Hazard(
            "expression_not_used",
            f"{way.to}.{name} is filled from {way.of}.{name}, not from the expression in migration.yaml: {why}.",
            "Nothing, if that is right. Where the expression is to be used, let it read the column of the same name too.",
            way.pair.old,
            {"column": name, "missing": list(missing)},
        )


def _unplaced(session: Session, way: Way) -> Iterator[Hazard]:
    columns = [c for c in way.have if c.name in way.mapping.unplaced]
    filled = [present(ident("source", c.name)) for c in columns]
    for column, count in zip(columns, tally(session, way.table, filled), strict=True):
        needed = way.is_new and column.not_null and not column.has_default
        if count or needed:
            yield Hazard(
                "unmapped_column",
                f"{way.of}.{column.name} has values in {counted(count, 'row')} and no place in {way.to}."
                + (f" It is NOT NULL and has no default: {_NO_UNDO}." if needed else ""),
                f"Map it in migration.yaml (back, forth), or accept it: {_stays(way)}."
                + (" Give the column a default, and an undo is possible all the same." if needed else ""),
                way.pair.old,
                {"column": column.name, "rows": count, "not_null": needed},
            )


_NO_UNDO = "a row that is added after the rollback has no value for it, and from then on an undo is refused"


def _derived(session: Session, way: Way) -> Iterator[Hazard]:
    """A column that can be made again from the others: where its value is another one, it has no place."""
    for name, expression in way.mapping.derived.items():
        count = not_made_again(session, way, name)
        if count:
            yield Hazard(
                "unmapped_column",
                f"{way.of}.{name} has values in {counted(count, 'row')} without a place in {way.to}: what {expression} makes of"
                f" the rest of the row is another value.",
                f"Map it in migration.yaml (back, forth), or accept it: {_stays(way)}.",
                way.pair.old,
                {"column": name, "rows": count, "not_null": False},
            )


def _stays(way: Way) -> str:
    if way.said == "forth":
        return "its values stay in the retired old table, which is kept in the schema aicfg_rollback"
    return "its values stay in the parked table and in the export"
