"""An export (finding L5) is loaded again by what its manifest says, word for word, with the psql of each version.

What is loaded is held against the table itself, row by row, and its checksum is taken by the manifest's own formula.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
import pytest

from aicfg_pipeline.errors import ExportError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.tables.export import export_table
from aicfg_pipeline.store.folder import Folder
from aicfg_pipeline_tests.tools.servers import PINNED, Database, psql

ODD = """CREATE TABLE "odd % ""t"" x" (
    "Key %s" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "a ""quoted"" name" text,
    "new
line" text,
    "ünï" text[],
    amount numeric(12, 2) DEFAULT 0,
    at timestamptz,
    span interval,
    raw bytea,
    doubled bigint GENERATED ALWAYS AS (length("ünï"[1]) * 2) STORED
)"""
ROWS = """INSERT INTO "odd % ""t"" x" ("a ""quoted"" name", "new
line", "ünï", amount, at, span, raw) VALUES
    (E'one\\n\\\\.\\ntwo', E'\\\\.', ARRAY['x', NULL, 'NULL', '\\.', '"'], 1.50, '2026-01-14 12:00+01', '-1 days +02:00', '.'),
    (NULL, '', '{}', NULL, 'infinity', NULL, NULL),
    (E'tab\\tand\\rreturn\\n', '\\N', NULL, 'NaN', '-infinity', '1 mon', ''),
    ('it''s "so", {braces} %s %(x)s :into :''into''', '日本語 🙂', ARRAY['é'], -0.01, NULL, '0', '\\x00')"""


def exported(database: Database, table: str, folder: Path) -> dict[str, Any]:
    """Export one table of `public` as the drop does and return its manifest."""
    session = connect(database.url)
    try:
        relation = catalog.relations(session, [("public", table)])["public", table]
        export = export_table(session, relation, Folder(folder), table, "test-run")
    finally:
        session.close()
    manifest: dict[str, Any] = json.loads(Path(export.manifest).read_text(encoding="utf-8"))
    return manifest


def run_as_printed(command: str, folder: Path, database: Database) -> subprocess.CompletedProcess[str]:
    """Run a command of the manifest in a shell, in the folder of the files, with this server's own psql."""
    path = f"{psql(database.cluster.version).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "AICFG_DATABASE_URL": database.url, "PGOPTIONS": ""}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def loaded_table(database: Database) -> str:
    """Return the one table that was loaded, quoted."""
    found = database.query(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname LIKE 'aicfg\\_export%'"
    )
    assert len(found) == 1
    return str(found[0][0])


def rows(database: Database, table: str) -> list[tuple[Any, ...]]:
    """Return every row of a table as text, under settings of the test's own."""
    return database.query(f"SELECT row_::text FROM {table} AS row_ ORDER BY 1")


@pytest.fixture
def odd(empty_database: Database) -> Database:
    """A table with odd names, generated and identity columns, and values that look like the end of the data."""
    name = empty_database.name
    empty_database.admin().execute(f"ALTER DATABASE {name} OWNER TO postgres; ALTER SCHEMA public OWNER TO postgres")
    for statement in (ODD, ROWS):
        empty_database.query(statement)
    return empty_database


@pytest.mark.every_version
def test_l5_the_command_in_the_manifest_loads_every_row_as_it_was(odd: Database, tmp_path: Path) -> None:
    manifest = exported(odd, 'odd % "t" x', tmp_path)
    done = run_as_printed(manifest["load_again"], tmp_path, odd)
    assert done.returncode == 0, done.stderr
    assert rows(odd, loaded_table(odd)) == rows(odd, '"odd % ""t"" x"')
    assert manifest["rows"] == 4


@pytest.mark.every_version
def test_l5_the_formula_in_the_manifest_gives_the_checksum_in_the_manifest(odd: Database, tmp_path: Path) -> None:
    manifest = exported(odd, 'odd % "t" x', tmp_path)
    run_as_printed(manifest["load_again"], tmp_path, odd)
    with psycopg.connect(odd.url, options=PINNED) as connection:
        assert connection.execute(manifest["checksum_is"].encode()).fetchall() == [(4, manifest["checksum"])]
    said = run_as_printed(manifest["sha256_is"], tmp_path, odd)
    assert said.stdout.split()[0] == manifest["sha256"]


@pytest.mark.every_version
def test_l5_the_rows_go_back_into_a_table_that_generates_its_columns(odd: Database, tmp_path: Path) -> None:
    manifest = exported(odd, 'odd % "t" x', tmp_path)
    odd.query('CREATE TABLE wanted (LIKE "odd % ""t"" x" INCLUDING ALL)')
    command = manifest["put_back"].replace("public.the_table", "public.wanted")
    done = run_as_printed(command, tmp_path, odd)
    assert done.returncode == 0, done.stderr
    assert rows(odd, "wanted") == rows(odd, '"odd % ""t"" x"')


def test_rows_that_are_not_those_exported_are_not_loaded(odd: Database, tmp_path: Path) -> None:
    manifest = exported(odd, 'odd % "t" x', tmp_path)
    (packed,) = tmp_path.glob("*.copy.gz")
    text = subprocess.run(["gzip", "-dc", packed], capture_output=True, check=True).stdout
    packed.write_bytes(subprocess.run(["gzip"], input=text.replace(b"1.50", b"1.51"), capture_output=True).stdout)
    done = run_as_printed(manifest["load_again"], tmp_path, odd)
    assert done.returncode != 0
    assert "not those that were exported" in done.stderr
    assert odd.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'aicfg\\_export%'") == []


def test_rows_without_a_hash_are_checked_through_their_text(odd: Database, tmp_path: Path) -> None:
    odd.query("CREATE TABLE documents (id bigint, body json, at point)")
    odd.query("""INSERT INTO documents VALUES (1, '{"a": 1, "a": 2}', '(0.1,-0)'), (2, NULL, NULL)""")
    odd.query(f"ALTER DATABASE {odd.name} SET extra_float_digits = 0")
    manifest = exported(odd, "documents", tmp_path)
    assert run_as_printed(manifest["load_again"], tmp_path, odd).returncode == 0
    assert rows(odd, loaded_table(odd)) == rows(odd, "documents")


@pytest.mark.every_version
def test_a_collation_of_the_columns_own_is_kept(odd: Database, tmp_path: Path) -> None:
    if not odd.query("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'"):
        pytest.skip("this PostgreSQL is built without ICU, so a row's hash depends on no collation")
    odd.query("CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    odd.query("CREATE TABLE names (name text COLLATE blind)")
    odd.query("INSERT INTO names VALUES ('Émile'), ('émile')")
    manifest = exported(odd, "names", tmp_path)
    done = run_as_printed(manifest["load_again"], tmp_path, odd)
    assert done.returncode == 0, done.stderr


def test_nobody_else_reads_what_was_exported(odd: Database, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        manifest = exported(odd, 'odd % "t" x', tmp_path / "new" / "folder")
    finally:
        os.umask(old)
    files = sorted((tmp_path / "new" / "folder").iterdir())
    assert [f.name.split(".", 1)[1] for f in files] == ["copy.gz", "json", "load.sql"]
    assert [oct(f.stat().st_mode & 0o777) for f in files] == ["0o600"] * 3
    assert oct((tmp_path / "new" / "folder").stat().st_mode & 0o777) == "0o700"
    # and nobody else reads it once it is loaded, whatever the default privileges are
    odd.admin().execute("DO $$BEGIN CREATE ROLE bystander; EXCEPTION WHEN duplicate_object THEN END$$")
    odd.query("ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO bystander")
    odd.query("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bystander")
    run_as_printed(manifest["load_again"], tmp_path / "new" / "folder", odd)
    with odd.admin() as connection:
        connection.execute("SET ROLE bystander")
        assert connection.execute(f"SELECT count(*) FROM {loaded_table(odd)}".encode()).fetchall() == [(0,)]
    odd.query("ALTER DEFAULT PRIVILEGES REVOKE USAGE ON SCHEMAS FROM bystander")
    odd.query("ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM bystander")


def test_the_words_in_the_manifest_survive_a_shell(odd: Database, tmp_path: Path) -> None:
    """A table's name may hold anything; what a person pastes holds plain words only."""
    odd.query('CREATE TABLE "x\'; touch $(id); \\! id" (id bigint)')
    manifest = exported(odd, "x'; touch $(id); \\! id", tmp_path)
    words = shlex.split(manifest["load_again"])
    assert words[:4] == ["psql", "-X", "-d", "$AICFG_DATABASE_URL"]
    assert (tmp_path / words[-1]).exists()
    assert run_as_printed(manifest["load_again"], tmp_path, odd).returncode == 0
    assert len(list(tmp_path.iterdir())) == 3


class Spoiled(Folder):
    """A store that gives back another file than it was given: the same rows in another order."""

    @contextmanager
    def reader(self, file: str) -> Iterator[BinaryIO]:
        lines = gzip.decompress((self.path / file).read_bytes()).splitlines(keepends=True)
        yield io.BytesIO(gzip.compress(b"".join(reversed(lines))))


def test_rows_that_read_back_with_another_sha256_are_no_export(odd: Database, tmp_path: Path) -> None:
    session = connect(odd.url)
    try:
        relation = catalog.relations(session, [("public", 'odd % "t" x')])["public", 'odd % "t" x']
        with pytest.raises(ExportError, match="SHA-256"):
            export_table(session, relation, Spoiled(tmp_path), "odd", "test-run")
    finally:
        session.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_written_to_is_told(odd: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="can't be written"):
        exported(odd, 'odd % "t" x', tmp_path / "file")
