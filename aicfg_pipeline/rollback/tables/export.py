"""Writes a parked table to a store before it is dropped, and proves that it reads back from there as the table.

Three files: the rows (COPY's text format, gzip), a script that loads them again with psql and checks them, and a manifest
that says what both are. Streams: memory does not grow with rows. Whether a table may be
dropped is `drop`'s business.

CSV will not do: psql takes a line `\\.` inside a quoted text for the end of the data. In the text format no value can look
like that. Every column is written, generated ones too, and loaded into a plain table: nothing has to be computed again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from aicfg_pipeline.errors import ExportError
from aicfg_pipeline.postgres import catalog, fingerprint
from aicfg_pipeline.postgres.boundary import server_errors
from aicfg_pipeline.postgres.catalog import Column, Relation
from aicfg_pipeline.postgres.fingerprint import Fingerprint
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.settings import AS_TEXT
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident, text
from aicfg_pipeline.store.kept import Store, put

CHUNK = 1 << 20
WHILE_LOADING = {**AS_TEXT, "row_security": "off", "statement_timeout": "0"}


@dataclass(frozen=True)
class Export:
    """One exported table: the file, its manifest, and what both hold."""

    file: str
    manifest: str
    rows: int
    checksum: str
    sha256: str
    bytes: int

    @property
    def facts(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Source:
    """The table to be exported: its columns in their order, their collations where they are not their types'."""

    relation: Relation
    columns: tuple[Column, ...]
    collations: Mapping[str, tuple[str, str]]
    hashable: bool

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    @property
    def table(self) -> sql.Identifier:
        return ident(self.relation.schema, self.relation.name)

    def plain_table(self, place: sql.Identifier) -> sql.Composed:
        """Return the statement that makes a table for the export's rows."""
        return engine("plain_table", table=place, columns=comma(self._plain_column(c) for c in self.columns))

    def checksum(self, place: sql.Identifier) -> sql.Composed:
        """Return the query for count and checksum of a table with these columns."""
        return fingerprint.fingerprint_query(place, self.names, hashable=self.hashable)

    def _plain_column(self, column: Column) -> sql.Composed:
        parts: dict[str, sql.Composable] = {"name": ident(column.name), "type": text(column.type)}
        if column.name in self.collations:
            return engine("plain_column_collated", collation=ident(*self.collations[column.name]), **parts)
        return engine("plain_column", **parts)


def export_table(session: Session, relation: Relation, store: Store, name: str, run_id: str) -> Export:
    """Write `relation` to `store` and read it back from there. Raises `ExportError`; then nothing of it stays.

    The manifest comes last: rows without one are not an export.
    """
    source = _source(session, relation)
    stem = _stem(name)
    rows, manifest, script = f"{stem}.copy.gz", f"{stem}.json", f"{stem}.load.sql"
    try:
        whole, digest = _write_rows(session, source, store, rows)
        _read_back(session, source, store, rows, whole, digest)
        export = Export(
            store.location(rows), store.location(manifest), whole.rows, str(whole.checksum), digest, store.size(rows)
        )
        put(store, script, _load_script(session, source, export, stem))
        put(store, manifest, _manifest(session, source, export, stem, run_id))
    except BaseException as error:
        _remove(store, rows, script, manifest)
        if isinstance(error, OSError):
            raise _not_written(relation, store, error) from None
        raise
    return export


def _not_written(relation: Relation, store: Store, error: OSError) -> ExportError:
    return ExportError(
        f"The export of {relation} can't be written to {store.name}: {error.strerror or error}.",
        expected="a place that this process may write to, with room for the table",
        remedy="Set AICFG_STORE or AICFG_EXPORT_DIR to such a place and run the job drop_new_tables. Nothing was dropped.",
    )


def _remove(store: Store, *files: str) -> None:
    for file in files:
        with suppress(OSError):  # what is wrong with the store is told already
            store.remove(file)


def _source(session: Session, relation: Relation) -> _Source:
    found = session.all(engine("own_collations"), {"oid": relation.oid})
    return _Source(
        relation,
        catalog.columns(session, relation.oid),
        {c.column: (c.schema, c.collation) for c in found},
        hashable=not catalog.unhashable_columns(session, relation.oid),
    )


def _stem(name: str) -> str:
    """Return a file name without an ending that no other export has, and that no shell takes for anything else."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)
    return f"{safe}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}-{secrets.token_hex(3)}"


def _write_rows(session: Session, source: _Source, store: Store, file: str) -> tuple[Fingerprint, str]:
    digest = hashlib.sha256()
    with session.transaction(snapshot=True, read_only=True):
        whole = fingerprint.take(session, source.table, source.names, hashable=source.hashable)
        statement = engine("copy_out", columns=columns(source.names), table=source.table)
        with (
            store.writer(file) as raw,
            gzip.open(raw, "wb", compresslevel=6) as out,
            server_errors(session.url),
            session.connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            for block in copy:
                digest.update(block)
                out.write(bytes(block))
    return whole, digest.hexdigest()


class _Undo(Exception):
    """Leaves the transaction of the read-back, so that nothing of it stays."""


def _read_back(session: Session, source: _Source, store: Store, file: str, whole: Fingerprint, digest: str) -> None:
    """Load the file from the store into a scratch table, compare fingerprint and SHA-256, and roll back."""
    relation = source.relation
    schema = f"aicfg_rollback_scratch_{secrets.token_hex(4)}"
    place = ident(schema, "loaded")
    try:
        with session.transaction():
            session.execute(engine("scratch_schema", schema=ident(schema)))
            session.execute(source.plain_table(place))
            read = _load(session, place, source.names, store, file)
            found = fingerprint.take(session, place, source.names, hashable=source.hashable)
            raise _Undo
    except _Undo:
        pass
    except (psycopg.Error, EOFError, gzip.BadGzipFile) as error:
        raise ExportError(f"The export of {relation} can't be read back: {error}. Nothing was dropped.") from None
    if found != whole or read != digest:
        raise ExportError(
            f"The export of {relation} reads back as {found}, SHA-256 {read}; the table is {whole}, SHA-256 {digest}."
            " Nothing was dropped.",
            remedy="Look for a full disk or a failing one, then run the job drop_new_tables again.",
        )


def _load(session: Session, table: sql.Identifier, names: list[str], store: Store, file: str) -> str:
    """Fill a table from a file of the store and return the SHA-256 of what was read."""
    statement = engine("copy_in", table=table, columns=columns(names))
    digest = hashlib.sha256()
    with (
        store.reader(file) as raw,
        gzip.open(raw, "rb") as lines,
        server_errors(session.url),
        session.connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        while block := lines.read(CHUNK):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()


# --- how to have it again --------------------------------------------------------------------------------------


def _place(stem: str) -> tuple[str, str]:
    """Return schema and table that the script loads into. Plain words: psql's \\copy takes no others on every version."""
    return f"aicfg_export_{stem.rsplit('-', 1)[1]}", "loaded"


def _load_script(session: Session, source: _Source, export: Export, stem: str) -> str:
    schema, table = _place(stem)
    place = ident(schema, table)
    composed = engine(
        "load_script",
        settings=_settings(),
        schema=ident(schema),
        make_table=source.plain_table(place),
        table=place,
        shown=sql.Literal(f"{schema}.{table}"),
        unpack=sql.Literal(f"gzip -dc {stem}.copy.gz"),
        checksum=source.checksum(place),
        rows=sql.Literal(export.rows),
        expected=sql.Literal(export.checksum),
        major=sql.Literal(session.version // 10_000),
        columns_to_write=columns(c.name for c in source.columns if not c.generated),
    )
    return composed.as_string(session.connection) + ";\n"


def _settings() -> sql.Composed:
    """Return what a row's text and its checksum depend on, for one transaction."""
    return sql.SQL(";\n").join(
        engine("set_local", name=ident(name), value=sql.Literal(value)) for name, value in WHILE_LOADING.items()
    )


def _manifest(session: Session, source: _Source, export: Export, stem: str, run_id: str) -> str:
    schema, table = _place(stem)
    command = f"psql -X -d $AICFG_DATABASE_URL -f {stem}.load.sql"
    manifest = {
        "format": "gzip of PostgreSQL's COPY in its text format, UTF8: a row a line, columns cut by tabs, \\N is NULL",
        "table": source.relation.name,
        "run_id": run_id,
        "written_at": datetime.now(UTC).isoformat(),
        "rows": export.rows,
        "checksum": export.checksum,
        "checksum_is": source.checksum(ident(schema, table)).as_string(session.connection),
        "checksum_needs": f"PostgreSQL {session.version // 10_000}, and the settings that the script makes",
        "sha256": export.sha256,
        "sha256_is": f"gzip -dc {stem}.copy.gz | sha256sum",
        "columns": [
            {"name": c.name, "type": c.type, "not_null": c.not_null, "generated": c.generated, "identity": c.identity}
            for c in source.columns
        ],
        "load_again": command,
        "load_again_does": "Run it in the folder of these files. It makes the table"
        f" {schema}.{table}, fills it, and compares count and checksum with this page; where they differ, nothing stays."
        " Its owner alone reads the table.",
        "put_back": f"{command} -v into=public.the_table",
        "put_back_does": "Does the same, and then inserts the rows into a table that is there, with the same column"
        " names, made from the migration's new/*.sql, say. Generated columns are left to that table.",
    }
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
