"""What the rows of one table look like in the columns of the other, as SQL: the `source` of every copy and comparison.

Columns of one name map by themselves; the rest comes from `back` and `forth` of migration.yaml. Running the SQL does
not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from aicfg_pipeline.postgres.catalog import Column
from aicfg_pipeline.postgres.statements import comma, engine, ident, keys_equal, text
from aicfg_pipeline.spec.ddl import expression_columns
from aicfg_pipeline.spec.model import Pair


@dataclass(frozen=True)
class Source:
    """Rows to copy: a FROM item whose columns are `columns`, and the tables that it reads."""

    query: sql.Composed
    columns: tuple[str, ...]
    tables: tuple[sql.Identifier, ...]
    of_keys: Callable[[sql.Composable], sql.Composed] = field(compare=False)
    """The rows of some keys: takes a FROM item with the keys, returns FROM items, of which `source` has the rows."""


@dataclass(frozen=True)
class ColumnMapping:
    """How the target's columns are filled: expression of each, columns without a source, columns without a place."""

    expressions: Mapping[str, sql.Composable]
    unfilled: tuple[str, ...]
    unplaced: tuple[str, ...]


def map_columns(
    target: Sequence[Column], source: Sequence[Column], given: Mapping[str, str], handled: Sequence[str] = ()
) -> ColumnMapping:
    """Map `source` columns to `target` columns. `handled` are source columns the migration accounts for elsewhere."""
    types = {c.name: c.base_type for c in source}
    read = {name for text_ in given.values() for name in expression_columns(text_)}
    expressions: dict[str, sql.Composable] = {}
    unfilled = []
    for column in target:
        if column.generated:
            continue
        if column.name in given:
            expressions[column.name] = _cast(text(given[column.name]), column)
        elif column.name in types:
            same = types[column.name] == column.base_type
            name = ident(column.name)
            expressions[column.name] = name if same else _cast(name, column)
        else:
            unfilled.append(column.name)
    placed = {c.name for c in target} | read | set(handled)
    unplaced = tuple(c.name for c in source if c.name not in placed and not c.generated)
    return ColumnMapping(expressions, tuple(unfilled), unplaced)


def _cast(expression: sql.Composable, column: Column) -> sql.Composed:
    """Give an expression the column's type without its length: a value that is too long must fail, not be cut."""
    return sql.SQL("CAST({} AS {})").format(expression, text(column.base_type))


def mapped(pair: Pair, table: sql.Identifier, mapping: ColumnMapping) -> Source:
    """Return the rows of one table in the target's columns."""
    named = comma(sql.SQL("{} AS {}").format(e, ident(c)) for c, e in mapping.expressions.items())
    query = engine("mapped_source", expressions=named, table=table)
    equal = keys_equal(pair.key, "wanted", "source")

    def of_keys(keys: sql.Composable) -> sql.Composed:
        return engine("mapped_rows_of_keys", wanted=keys, source=query, keys_equal=equal)

    return Source(query, tuple(mapping.expressions), (table,), of_keys)


def merged(pair: Pair, new_rows: Source, old_table: sql.Identifier) -> Source:
    """Return the rows of both tables merged by key: the later version wins, a row of one side is kept."""
    key = pair.key[0]
    if pair.changed_at:
        take = engine(
            "take_new_by_time",
            old_key=ident("older", key),
            new_key=ident("newer", key),
            new_time=ident("newer", pair.changed_at),
            old_time=ident("older", pair.changed_at),
        )
    else:
        take = engine("take_new", new_key=ident("newer", key))
    picked = comma(
        engine(
            "picked_column",
            take_new=take,
            new_column=ident("newer", c),
            old_column=ident("older", c),
            column=ident(c),
        )
        for c in new_rows.columns
    )
    query = engine(
        "merged_source",
        picked=picked,
        new_rows=new_rows.query,
        old_table=old_table,
        keys_equal=keys_equal(pair.key, "newer", "older"),
    )

    def of_keys(keys: sql.Composable) -> sql.Composed:
        return engine(
            "merged_rows_of_keys",
            picked=picked,
            wanted=keys,
            new_rows=new_rows.query,
            new_is_wanted=keys_equal(pair.key, "wanted", "newer"),
            old_table=old_table,
            old_is_wanted=keys_equal(pair.key, "wanted", "older"),
            new_key=ident("newer", key),
            old_key=ident("older", key),
        )

    return Source(query, new_rows.columns, (*new_rows.tables, old_table), of_keys)
