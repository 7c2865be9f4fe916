"""What the rows must be, from what they were: plain SQL over the live table before a step, and a dictionary.

Nothing here asks the pipeline how it maps: a column of one name is cast, `back` and `forth` are the migration's own
expressions, the rest is the column's default.
"""

from __future__ import annotations

import psycopg

from aicfg_pipeline_tests.generated import witness
from aicfg_pipeline_tests.generated.witness import Rows
from aicfg_pipeline_tests.generated.world import Column, Pair, q


def going_back(connection: psycopg.Connection, pair: Pair) -> Rows:
    """Return the live new rows as rows of the old table."""
    return _mapped(connection, pair, "new", "old", dict(pair.back))


def going_forth(connection: psycopg.Connection, pair: Pair) -> Rows:
    """Return the live old rows as rows of the new table; a column that only the new one has is left out."""
    return _mapped(connection, pair, "old", "new", dict(pair.forth))


def _mapped(connection: psycopg.Connection, pair: Pair, source: str, target: str, given: dict[str, str]) -> Rows:
    connection.execute("SET search_path = public, pg_catalog")
    picked = {c.name: e for c in pair.side(target) if (e := _expression(c, source, target, given)) is not None}
    keys = {k: picked[k] for k in pair.key}
    return witness.read(connection, pair, q("public", pair.table(source)), picked, keys)


def _expression(column: Column, source: str, target: str, given: dict[str, str]) -> str | None:
    if column.generated:
        return column.generated
    if column.name in given:
        return f"CAST({given[column.name]} AS {column.type(target)})"
    if getattr(column, source) is not None:
        return f"CAST({q(column.name)} AS {column.type(target)})"
    if target == "old":
        return f"CAST({column.old_default or 'NULL'} AS {column.type('old')})"
    return None


def merged(connection: psycopg.Connection, pair: Pair) -> Rows:
    """Return what two coexisting tables come to: the later version of a row, all rows of either."""
    newer, older = going_back(connection, pair), witness.rows(connection, pair, "old")
    result = dict(older)
    new_names = {c.name for c in pair.side("new")}
    for key, row in newer.items():
        there = older.get(key)
        if there is None:
            result[key] = row
        elif pair.changed_at and _later(connection, there[pair.changed_at], row[pair.changed_at]):
            continue
        else:
            only = {
                c.name: there[c.name]
                for c in pair.side("old")
                if c.name not in new_names and c.name not in dict(pair.back)
            }
            result[key] = {**row, **only}
    return result


def _later(connection: psycopg.Connection, one: str | None, other: str | None) -> bool:
    found = connection.execute("SELECT %s::timestamptz > %s::timestamptz", (one, other)).fetchone()
    return bool(found and found[0])


def same_there_and_back(
    connection: psycopg.Connection, pair: Pair, source: str = "new", target: str = "old"
) -> dict[str, bool]:
    """Say of each column whose type differs whether every value comes back as it was."""
    connection.execute("SET search_path = public, pg_catalog")
    told: dict[str, bool] = {}
    for column in pair.columns:
        if column.old and column.new and column.old != column.new:
            name, there, back = q(column.name), column.type(target), column.type(source)
            lost = (
                f"SELECT count(*) FROM {q('public', pair.table(source))}"
                f" WHERE CAST(CAST({name} AS {there}) AS {back})::text IS DISTINCT FROM {name}::text"
            )
            try:
                told[column.name] = connection.execute(lost).fetchone() == (0,)  # type: ignore[call-overload]
            except psycopg.Error:  # no such cast, or a value that has none
                told[column.name] = False
    return told


def undone(
    connection: psycopg.Connection, pair: Pair, parked: Rows, touched: set[tuple[str | None, ...]], since: Rows
) -> Rows:
    """Return what the new table must hold after an undo. `since` are the old rows as they were right after the swap.

    A row that nobody has written is the parked one, to the letter. One that was written comes forth; what the old table
    has no place for, and what `keep` names, it has from the parked row, or from the default where there was none.
    """
    now, forth = witness.rows(connection, pair, "old"), going_forth(connection, pair)
    defaults = _defaults(connection, pair)
    result: Rows = {}
    for (key, row), old in zip(forth.items(), now.values(), strict=True):
        was = parked.get(key)
        if was is not None and key not in touched and old == since.get(key):
            result[key] = was
            continue
        result[key] = {}
        for column in pair.side("new"):
            kept = column.name in pair.keep or column.name not in row
            from_parked = was is not None and kept
            result[key][column.name] = (
                was[column.name] if was is not None and from_parked else row.get(column.name, defaults.get(column.name))
            )
    return result


def _defaults(connection: psycopg.Connection, pair: Pair) -> dict[str, str | None]:
    connection.execute("SET search_path = public, pg_catalog")
    found: dict[str, str | None] = {}
    for column in pair.side("new"):
        if column.old is None and not column.generated:
            row = connection.execute(
                f"SELECT CAST({column.new_default or 'NULL'} AS {column.type('new')})::text"
            ).fetchone()  # type: ignore[call-overload]
            found[column.name] = row[0] if row else None
    return found
