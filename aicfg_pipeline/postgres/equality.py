"""Which rows have the same key: comparisons in SQL that use the type's own operator, whatever stands in the search path.

PostgreSQL finds an operator by its name, and one in `public` whose types fit better wins over its own (S2). So the
operator is named with its schema: `pg_catalog`, or that of a type with an operator of its own. What is compared does not
belong here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from psycopg import sql

from aicfg_pipeline.postgres.statements import engine, text


@dataclass(frozen=True)
class Equality:
    """How values of a type with an operator of its own are compared: both names with their schemas, as SQL."""

    operator: str
    type: str


class KeyColumn(str):
    """A key column's name, with the equality of its type where PostgreSQL's own would be another."""

    equality: Equality | None

    def __new__(cls, name: str, equality: Equality | None = None) -> Self:
        """Make one."""
        column = super().__new__(cls, name)
        column.equality = equality
        return column


def key_columns(key: Sequence[str], own: Mapping[str, Equality]) -> tuple[KeyColumn, ...]:
    """Return a key whose columns know the equality of their types; `own` has those of types with one of their own."""
    return tuple(KeyColumn(name, own.get(name)) for name in key)


def same(left: sql.Composable, right: sql.Composable, equality: Equality | None = None) -> sql.Composable:
    """Return in SQL whether two values are the same."""
    if equality is None:
        return engine("same_value", left=left, right=right)
    names = {"operator": text(equality.operator), "type": text(equality.type)}
    return engine("same_value_by_own", left=left, right=right, **names)


def absent(value: sql.Composable) -> sql.Composable:
    """Return in SQL whether there is no value, as NOT NULL, keys and joins mean it."""
    return engine("absent", value=value)


def present(*values: sql.Composable) -> sql.Composable:
    """Return in SQL whether each of these is a value."""
    return sql.SQL(" AND ").join(engine("present", value=v) for v in values)


def keys_equal(key: Iterable[str], left: str, right: str) -> sql.Composed:
    """Return whether the rows of two aliases have the same key: `left.k = right.k AND …` for every column."""
    return sql.SQL(" AND ").join(
        same(sql.Identifier(left, k), sql.Identifier(right, k), getattr(k, "equality", None)) for k in key
    )
