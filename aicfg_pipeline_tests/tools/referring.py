"""A migration of two pairs whose tables refer to each other, and the first to itself; their DDL is written in two ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
import yaml

from aicfg_pipeline_tests.tools.servers import Database

Written = Literal["inside", "beside"]
"""Whether a file declares its keys inside CREATE TABLE, or by ALTER TABLE."""

COLUMNS = {
    "teams": ("lead", "people", "DEFERRABLE INITIALLY DEFERRED", "parent", "teams", "ON DELETE SET NULL"),
    "people": ("team", "teams", "ON DELETE CASCADE", "boss", "people", ""),
}
"""By table: column, table that it refers to, options; twice."""

KEYS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')"
    " FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace ORDER BY 1, 2"
)


def write(folder: Path, written: Written, order: Sequence[str] = ("teams", "people")) -> Path:
    """Write the folder: teams and people, which became app_teams and app_people."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs: list[dict[str, Any]] = []
    for old in order:
        new = f"app_{old}"
        files = {"old_sql": f"old_{old}.sql", "new_sql": f"new_{old}.sql", "view_sql": f"view_{old}.sql"}
        pairs.append({"old": old, "new": new, "key": ["id"], "way": "copy", **files})
        (folder / files["old_sql"]).write_text(table_file(old, "", written), encoding="utf-8")
        (folder / files["new_sql"]).write_text(table_file(old, "app_", written), encoding="utf-8")
        view = f"-- name: view -- every column\nCREATE VIEW {old} AS SELECT * FROM {new};\n"
        (folder / files["view_sql"]).write_text(view, encoding="utf-8")
    said = {"name": "referring", "pairs": pairs}
    (folder / "migration.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return folder


def table_file(table: str, prefix: str, written: Written) -> str:
    """Return the text of a DDL file."""
    first, to_first, first_options, second, to_second, second_options = COLUMNS[table]
    name = prefix + table
    keys = [(first, prefix + to_first, first_options), (second, prefix + to_second, second_options)]
    inline = {c: f" REFERENCES public.{t}(id) {o}".rstrip() if written == "inside" else "" for c, t, o in keys}
    text = f"-- name: table -- columns\nCREATE TABLE {name} (id integer NOT NULL, said text"
    if written == "inside":  # one beside its column, one at the end
        text += f", {first} integer{inline[first]}, {second} integer"
        text += f", CONSTRAINT {name}_{second}_fkey FOREIGN KEY ({second}){inline[second]});\n"
    else:
        text += f", {first} integer, {second} integer);\n"
    text += f"\n-- name: indexes -- the key\nALTER TABLE ONLY {name} ADD CONSTRAINT {name}_pkey PRIMARY KEY (id);\n"
    if written == "beside":
        named = [(f"{name}_{c}_fkey", c, t, o) for c, t, o in keys]
        text += "\n-- name: foreign_keys -- to each other\n" + "".join(
            f"ALTER TABLE ONLY {name} ADD CONSTRAINT {k} FOREIGN KEY ({c}) REFERENCES public.{t}(id) {o} NOT VALID;\n"
            for k, c, t, o in named
        )
        text += "\n-- name: validate -- the same\n" + "".join(
            f"ALTER TABLE {name} VALIDATE CONSTRAINT {k};\n" for k, *_ in named
        )
    return text


def make_old(connection: psycopg.Connection) -> None:
    """Make the old tables with plain SQL, as they were before the migration, and rows in both."""
    connection.execute(
        "CREATE TABLE teams (id integer CONSTRAINT teams_pkey PRIMARY KEY, said text, lead integer, parent integer);"
        "CREATE TABLE people (id integer CONSTRAINT people_pkey PRIMARY KEY, said text, team integer, boss integer);"
        "ALTER TABLE teams ADD CONSTRAINT teams_lead_fkey FOREIGN KEY (lead) REFERENCES people(id) DEFERRABLE INITIALLY DEFERRED,"
        " ADD CONSTRAINT teams_parent_fkey FOREIGN KEY (parent) REFERENCES teams(id) ON DELETE SET NULL;"
        "ALTER TABLE people ADD CONSTRAINT people_team_fkey FOREIGN KEY (team) REFERENCES teams(id) ON DELETE CASCADE,"
        " ADD CONSTRAINT people_boss_fkey FOREIGN KEY (boss) REFERENCES people(id);"
        "INSERT INTO teams SELECT i, 'team ' || i, NULL, nullif(i / 2, 0) FROM generate_series(1, 20) i;"
        "INSERT INTO people SELECT i, 'person ' || i, 1 + i % 20, nullif(i / 3, 0) FROM generate_series(1, 50) i;"
        "UPDATE teams SET lead = id"
    )


def set_up(
    database: Database,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: Written,
    order: Sequence[str] = ("teams", "people"),
) -> None:
    """The folder, and the old tables in the database."""
    write(folder, written, order)
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(folder))
    make_old(database.connect())
