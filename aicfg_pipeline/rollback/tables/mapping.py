"""What the rows of one table look like in the columns of the other, as SQL: the `source` of every copy and comparison.

Columns of one name map by themselves; the rest comes from `back` and `forth` of migration.yaml. Running the SQL does
not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from aicfg_pipeline.postgres.catalog import Column
from aicfg_pipeline.postgres.equality import keys_equal
from aicfg_pipeline.postgres.statements import comma, engine, ident, text
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
    """How the target's columns are filled: an expression for each.

    `plain` are filled from the source's column of the same name, `unfilled` from nothing. `unplaced` are source columns
    that go nowhere. `derived` are source columns that go nowhere either, but that can be made again from what does go:
    name to expression over the target's columns. `passed_over` are expressions of migration.yaml that are not used,
    because a column of the same name is there: target column to the columns that the expression reads in vain.
    """

    expressions: Mapping[str, sql.Composable]
    plain: tuple[str, ...]
    unfilled: tuple[str, ...]
    unplaced: tuple[str, ...]
    derived: Mapping[str, str]
    passed_over: Mapping[str, tuple[str, ...]]


def map_columns(
    target: Sequence[Column], source: Sequence[Column], given: Mapping[str, str], other_way: Mapping[str, str] = {}
) -> ColumnMapping:
    """Map `source` columns to `target` columns.

    `given` are migration.yaml's expressions for target columns; `other_way` those that fill source columns on the way
    back from the target. A column of the same name wins over an expression that does not read it.
    """
    have, wanted = {c.name: c for c in source}, {c.name: c for c in target}
    expressions: dict[str, sql.Composable] = {}
    plain, read, passed_over = [], set[str](), dict[str, tuple[str, ...]]()
    for column in (c for c in target if not c.generated):
        reads = expression_columns(given[column.name]) if column.name in given else frozenset[str]()
        if column.name in given and (column.name not in have or column.name in reads <= have.keys()):
            expressions[column.name] = _cast(text(given[column.name]), column)
            read |= reads
            continue
        if column.name in given:
            passed_over[column.name] = tuple(sorted(reads - have.keys()))
        if column.name in have:
            expressions[column.name] = _converted(have[column.name], column)
            plain.append(column.name)
    stay = [c.name for c in source if not c.generated and c.name not in {*plain, *read}]
    again = {n: wanted[n].expression or "" for n in stay if n in wanted and wanted[n].generated}
    again |= {
        n: other_way[n]
        for n in stay
        if n in other_way and n not in again and expression_columns(other_way[n]) <= expressions.keys()
    }
    return ColumnMapping(
        expressions,
        plain=tuple(plain),
        unfilled=tuple(c.name for c in target if not c.generated and c.name not in expressions),
        unplaced=tuple(n for n in stay if n not in again),
        derived=again,
        passed_over=passed_over,
    )


def _converted(have: Column, wanted: Column) -> sql.Composable:
    name = ident(have.name)
    same = have.base_type == wanted.base_type and (have.type == wanted.type or not rounds(wanted))
    return name if same else _cast(name, wanted)


def _cast(expression: sql.Composable, column: Column) -> sql.Composed:
    """Give an expression the column's type; without its length where a value that is too long must fail, not be cut."""
    bare = sql.SQL("CAST({} AS {})").format(expression, text(column.base_type))
    full = sql.SQL("CAST({} AS {})").format(expression, text(column.type))
    if column.base_type == "bpchar" and column.type != column.base_type:
        return engine("padded", full=full, bare=bare)
    return full if rounds(column) else bare


ROUNDING = ("numeric", "timestamp ", "time ", "interval")


def rounds(column: Column) -> bool:
    """Say whether the type's modifier rounds, and so does the same in a cast as in an assignment."""
    return column.core.startswith(ROUNDING)


def constant(column: Column) -> sql.Composable | None:
    """Return a column's default where it is a plain value, so that it is the same whenever it is asked for."""
    return text(column.expression) if column.expression and _CONSTANT.fullmatch(column.expression) else None


_CONSTANT = re.compile(
    r"""(?:'(?:[^']|'')*'|-?[0-9.]+|\(-?[0-9.]+\)|true|false)(?:::[\w ".]+(?:\([0-9, ]+\))?(?:\[\])*)?"""
)


def mapped(pair: Pair, table: sql.Identifier, mapping: ColumnMapping) -> Source:
    """Return the rows of one table in the target's columns."""
    named = comma(sql.SQL("{} AS {}").format(e, ident(c)) for c, e in mapping.expressions.items())
    query = engine("mapped_source", expressions=named, table=table)
    equal = keys_equal(pair.key, "wanted", "source")

    def of_keys(keys: sql.Composable) -> sql.Composed:
        return engine("mapped_rows_of_keys", wanted=keys, source=query, keys_equal=equal)

    return Source(query, tuple(mapping.expressions), (table,), of_keys)


def merged(pair: Pair, new_rows: Source, old_rows: Source, old: Sequence[Column]) -> Source:
    """Return the rows of both tables merged by key: the later version wins, a row of one side is kept.

    A column that only one side has is that side's in every row, so that no value of either is lost. A row that the
    side does not have gets the column's default, where that is a plain value, else nothing.
    """
    columns = tuple(c for c in old if c.name in {*new_rows.columns, *old_rows.columns})
    take = _take(pair, new_rows.columns, old_rows.columns)
    picked = comma(_picked(pair, c, take, new_rows, old_rows) for c in columns)
    query = engine(
        "merged_source",
        picked=picked,
        new_rows=new_rows.query,
        old_rows=old_rows.query,
        keys_equal=keys_equal(pair.key, "newer", "older"),
    )

    def of_keys(keys: sql.Composable) -> sql.Composed:
        return engine(
            "merged_rows_of_keys",
            picked=picked,
            wanted=keys,
            new_rows=new_rows.query,
            new_is_wanted=keys_equal(pair.key, "wanted", "newer"),
            old_rows=old_rows.query,
            old_is_wanted=keys_equal(pair.key, "wanted", "older"),
            new_key=ident("newer", pair.key[0]),
            old_key=ident("older", pair.key[0]),
        )

    return Source(query, tuple(c.name for c in columns), (*new_rows.tables, *old_rows.tables), of_keys)


def _take(pair: Pair, new: Sequence[str], old: Sequence[str]) -> sql.Composed:
    key, time = pair.key[0], pair.changed_at
    if time is None or time not in new or time not in old:
        return engine("take_new", new_key=ident("newer", key))
    return engine(
        "take_new_by_time",
        old_key=ident("older", key),
        new_key=ident("newer", key),
        new_time=ident("newer", time),
        old_time=ident("older", time),
    )


def _picked(pair: Pair, column: Column, take: sql.Composable, new: Source, old: Source) -> sql.Composed:
    name = column.name
    given = {"column": ident(name), "type": text(column.base_type)}
    if name in new.columns and name in old.columns:
        sides = {"new_column": ident("newer", name), "old_column": ident("older", name)}
        return engine("picked_column", take_new=take, **given, **sides)
    side = "newer" if name in new.columns else "older"
    default = constant(column) or sql.SQL("NULL")
    return engine("only_column", key=ident(side, pair.key[0]), only=ident(side, name), default=default, **given)
