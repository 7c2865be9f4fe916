"""Loads the engine's SQL from `sql/engine/`: named blocks, filled with identifiers through `psycopg.sql` only.

No SQL is written here. Values never pass through here either: they are parameters of the statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from psycopg import sql

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.spec.blocks import Block, load_blocks
from aicfg_pipeline.spec.load import bundled_sql
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA


@cache
def _blocks() -> Mapping[str, Block]:
    blocks: dict[str, Block] = {}
    for path in sorted((bundled_sql() / "engine").rglob("*.sql")):
        where = path.relative_to(bundled_sql()).as_posix()
        for name, block in load_blocks(path, where).items():
            if name in blocks:
                raise SpecError(f"{where}: block {name} is there twice")
            blocks[name] = block
    return blocks


def engine(name: str, /, **parts: sql.Composable) -> sql.Composed:
    """Return the engine's block `name` with its `{placeholders}` filled. Raises `KeyError` for an unknown name."""
    return sql.SQL(_blocks()[name].sql.rstrip().removesuffix(";")).format(**parts)


def describe(name: str) -> str:
    """Return the line that says what the block `name` is for."""
    return _blocks()[name].description


def ident(*parts: str) -> sql.Identifier:
    """Return an identifier, qualified where several parts are given."""
    return sql.Identifier(*parts)


def private(name: str) -> sql.Identifier:
    """Return a name in the pipeline's private schema."""
    return sql.Identifier(PRIVATE_SCHEMA, name)


def text(fragment: str) -> sql.SQL:
    """Return a fragment of the migration's own files (an expression, a DDL statement) as SQL."""
    return sql.SQL(fragment)


def comma(parts: Iterable[sql.Composable]) -> sql.Composed:
    """Join with commas."""
    return sql.SQL(", ").join(parts)


def columns(names: Iterable[str], alias: str | None = None) -> sql.Composed:
    """Return a comma-separated list of column names, each after `alias` where one is given."""
    return comma(sql.Identifier(alias, n) if alias else sql.Identifier(n) for n in names)


def keys_equal(key: Iterable[str], left: str, right: str) -> sql.Composed:
    """Return `left.k = right.k AND …` for every column of the key."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, k), sql.Identifier(right, k)) for k in key
    )
