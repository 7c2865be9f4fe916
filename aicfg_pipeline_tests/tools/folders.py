"""Migration folders of a test's own: one pair, made from a few lines of DDL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql

from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration
from aicfg_pipeline_tests.tools.servers import Database

TABLE = "-- name: table -- columns\nCREATE TABLE {name} (\n    {columns}\n);\n\n-- name: indexes -- key\n{indexes};\n"
VIEW = "-- name: view -- every column\nCREATE VIEW {old} AS SELECT * FROM {new};\n"


def quoted(name: str) -> str:
    """Return a name as SQL."""
    return sql.Identifier(name).as_string(None)


def table_file(name: str, columns: str, key: str, more: str = "") -> str:
    """Return the text of a DDL file."""
    indexes = f"ALTER TABLE ONLY {quoted(name)} ADD PRIMARY KEY ({key})"
    return TABLE.format(name=quoted(name), columns=columns, indexes=indexes) + more


def write_folder(
    folder: Path,
    old: str,
    new: str,
    columns: str,
    *,
    new_columns: str | None = None,
    key: str = "id",
    old_more: str = "",
    new_more: str = "",
    pair: dict[str, Any] | None = None,
    **top: Any,
) -> Path:
    """Write a migration of one pair, which is copied unless `pair` says otherwise.

    `columns` is what stands between the brackets of CREATE TABLE.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {"old_sql": "old.sql", "new_sql": "new.sql", "view_sql": "view.sql"}
    said = {
        "name": "test",
        **top,
        "pairs": [{"old": old, "new": new, "key": [key], "way": "copy", **names, **(pair or {})}],
    }
    (folder / "migration.yaml").write_text(yaml.safe_dump(said, allow_unicode=True), encoding="utf-8")
    old_text = table_file(old, columns, quoted(key), old_more)
    (folder / "old.sql").write_text(old_text, encoding="utf-8")
    new_text = table_file(new, new_columns or columns, quoted(key), new_more)
    (folder / "new.sql").write_text(new_text, encoding="utf-8")
    (folder / "view.sql").write_text(VIEW.format(old=quoted(old), new=quoted(new)), encoding="utf-8")
    return folder


def make_old(connection: psycopg.Connection, migration: Migration, search_path: str = "public") -> None:
    """Make the old tables of a migration, as they were before it."""
    connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(search_path)))
    for pair in migration.pairs:
        for block in pair.old_ddl.blocks.values():
            connection.execute(block.sql)


def set_up(
    database: Database,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
    *statements: str,
    old: str = "thing",
    new: str = "new_thing",
    prelude: str = "",
    **kwargs: object,
) -> None:
    """A migration folder of one pair, its old table in the database, and what stands in it."""
    write_folder(folder, old, new, columns, **kwargs)  # type: ignore[arg-type]
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(folder))
    connection = database.connect()
    if prelude:
        connection.execute(prelude)
    make_old(connection, spec.load())
    for statement in statements:
        connection.execute(statement)
