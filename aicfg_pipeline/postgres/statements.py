"""Loads the engine's SQL from `sql/engine/`: named blocks, filled with identifiers through `psycopg.sql` only.

No SQL is written here. Values never pass through here either: they are parameters of the statement, `%(name)s`. Any
other percent sign stands once, in a block as in a name or an expression: `with_parameters` doubles it where the driver
wants that. So no block has to know whether its caller has parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.postgres.place import AsValue, MigrationName, PrivateName, PrivateSchema
from aicfg_pipeline.spec.blocks import Block, load_blocks
from aicfg_pipeline.spec.load import bundled_sql

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@cache
def _blocks() -> Mapping[str, Block]:
    blocks: dict[str, Block] = {}
    for path in sorted((bundled_sql() / "engine").rglob("*.sql")):
        where = path.relative_to(bundled_sql()).as_posix()
        for name, block in load_blocks(path, where).items():
            if name in blocks:
                raise SpecError(f"{where}: block {name} is there twice")
            if "%%" in block.sql:
                raise SpecError(
                    f"{where}: block {name}: a percent sign stands once; it is doubled where that is needed"
                )
            blocks[name] = replace(block, sql=qualified(block.sql))
    return blocks


_PIECES = re.compile(
    r"(?P<kept>--[^\n]*|OPERATOR\([^)]*\)|'(?:[^']|'')*'|\"[^\"]*\"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r"|(?P<operator>(?<![-+*/<>=~!@#&|])(?:\|\||&&?|!?~\*?|->>?)(?![-+*/<>=~!@#&|]))"
    r"|(?<![\w.\"}])(?P<function>[a-z_][a-z0-9_]+)\(",
    re.DOTALL,
)
_NO_FUNCTIONS = frozenset(
    {"coalesce", "nullif", "greatest", "least", "extract", "substring", "position", "overlay", "trim"}
    | {"char", "numeric", "varchar"}
)
"""What looks like a function's call and is grammar: the parser gives it its meaning, whatever the search path."""


def qualified(statement: str) -> str:
    """Return SQL with every function as `pg_catalog`'s, and every operator whose precedence stays the same by that.

    Under the search path of the migration's own expressions one in `public` would win over it, wherever its types fit
    better: a literal 0 is an integer, and `hashtextextended(text, integer)` may be anybody's. Comparisons and arithmetic bind
    differently when they are qualified: there the SQL gives exact types.
    """

    def with_schema(found: re.Match[str]) -> str:
        if found["operator"]:
            return f"OPERATOR(pg_catalog.{found[0]})"
        name = found["function"]
        grammar = name is None or name in _NO_FUNCTIONS or (name == "unnest" and _several(found.string, found.end()))
        return found[0] if grammar else f"pg_catalog.{name}("

    return _PIECES.sub(with_schema, statement)


def _several(statement: str, start: int) -> bool:
    """Say whether a call has several arguments: `unnest` is grammar then, and can't be qualified."""
    depth = 0
    for character in statement[start:]:
        if character == "," and depth == 0:
            return True
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            return False
    return False


class Statement(sql.Composed):
    """A statement that knows what it is for: `why` is the line above its block.

    `provided` says what has to be the case for it to run at all. One that is not `noted` is in no ledger and no plan: a
    setting that depends on the moment.
    """

    def __init__(self, statement: sql.Composable, why: str, *, provided: str | None = None, noted: bool = True) -> None:
        super().__init__([statement])
        self.why, self.provided, self.noted = why, provided, noted


def engine(name: str, /, **parts: sql.Composable) -> Statement:
    """Return the engine's block `name` with its `{placeholders}` filled. Raises `KeyError` for an unknown name.

    `{private}` and `{migration}` are filled by the connection: the private schema and the name of its migration, as values.
    """
    return _filled(name, parts) if parts else _as_it_stands(name)


@cache
def _as_it_stands(name: str) -> Statement:
    return _filled(name, {})


_OF_THE_CONNECTION = {"private": PrivateSchema(), "migration": MigrationName()}


def _filled(name: str, parts: Mapping[str, sql.Composable]) -> Statement:
    block = _blocks()[name]
    pieces = _PLACEHOLDER.split(block.sql.rstrip().removesuffix(";"))
    filled = [
        sql.Placeholder(p) if place % 2 else sql.SQL(p).format(**_OF_THE_CONNECTION, **parts)
        for place, p in enumerate(pieces)
    ]
    return Statement(sql.Composed(filled), block.description)


class _Doubled(sql.Composable):
    """A part of a statement in which no percent sign begins a placeholder."""

    def as_bytes(self, context: Any = None) -> bytes:
        part: sql.Composable = self._obj
        return part.as_bytes(context).replace(b"%", b"%%")


def with_parameters(statement: sql.Composable) -> sql.Composed:
    """Return a statement for a call with parameters: every percent sign doubled but those of placeholders."""
    parts = statement if isinstance(statement, sql.Composed) else [statement]
    return sql.Composed([_for_the_driver(part) for part in parts])


def _for_the_driver(part: sql.Composable) -> sql.Composable:
    if isinstance(part, sql.Placeholder):
        return part
    return with_parameters(part) if isinstance(part, sql.Composed) else _Doubled(part)


def provided(what: str, statements: Iterable[sql.Composable]) -> list[sql.Composable]:
    """Return statements as such that run only under a condition."""
    return [Statement(s, why_of(s), provided=what, noted=is_noted(s)) for s in statements]


def unnoted(statement: Statement) -> Statement:
    """Return a statement as one that neither ledger nor plan has."""
    return Statement(statement, statement.why, provided=statement.provided, noted=False)


def why_of(statement: sql.Composable) -> str:
    """Return what a statement is for; empty where it does not know."""
    return statement.why if isinstance(statement, Statement) else ""


def provided_of(statement: sql.Composable) -> str | None:
    """Return under which condition a statement runs; None where there is none."""
    return statement.provided if isinstance(statement, Statement) else None


def is_noted(statement: sql.Composable) -> bool:
    """Say whether a statement belongs into ledger and plan."""
    return not isinstance(statement, Statement) or statement.noted


def ident(*parts: str) -> sql.Identifier:
    """Return an identifier, qualified where several parts are given."""
    return sql.Identifier(*parts)


def private(name: str) -> sql.Identifier:
    """Return a name in the private schema of the migration that the connection works for."""
    return PrivateName(name)


def private_schema() -> sql.Identifier:
    """Return the private schema of the migration that the connection works for."""
    return PrivateName()


def as_value(name: sql.Composable) -> sql.Composable:
    """Return a name as a value, for a cast to regclass."""
    return AsValue(name)


def text(fragment: str) -> sql.SQL:
    """Return a fragment of the migration's own files (an expression, a DDL statement) as SQL."""
    return sql.SQL(fragment)


def comma(parts: Iterable[sql.Composable]) -> sql.Composed:
    """Join with commas."""
    return sql.SQL(", ").join(parts)


def columns(names: Iterable[str], alias: str | None = None) -> sql.Composed:
    """Return a comma-separated list of column names, each after `alias` where one is given."""
    return comma(sql.Identifier(alias, n) if alias else sql.Identifier(n) for n in names)
