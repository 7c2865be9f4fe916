"""Writes a parked table to a file before it is dropped, and proves that the file reads back as the table.

gzip CSV with a manifest beside it: columns, rows, checksums and the statements that load it again. Streams: memory
does not grow with rows. Whether a table may be dropped is `drop`'s business.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from aicfg_pipeline.errors import ExportError
from aicfg_pipeline.postgres import catalog, fingerprint
from aicfg_pipeline.postgres.catalog import Column, Relation
from aicfg_pipeline.postgres.fingerprint import Fingerprint
from aicfg_pipeline.postgres.session import Session, server_errors
from aicfg_pipeline.postgres.statements import columns, engine, ident

CHUNK = 1 << 20


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


def export_table(session: Session, relation: Relation, folder: Path, name: str, run_id: str) -> Export:
    """Write `relation` to `folder` and read it back. Raises `ExportError`; half a file is never left under its name."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:80]
    file = folder / f"{safe}-{stamp}-{secrets.token_hex(3)}.csv.gz"
    wanted = tuple(c for c in catalog.columns(session, relation.oid))
    partial = file.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        whole, digest = _written(session, relation, wanted, partial)
        _read_back(session, relation, wanted, partial, whole)
        size = partial.stat().st_size
        partial.rename(file)
        export = Export(
            str(file), str(file.with_suffix("").with_suffix(".json")), whole.rows, whole.checksum, digest, size
        )
        _write_manifest(export, relation, wanted, run_id)
    except OSError as error:
        raise ExportError(
            f"The export of {relation} can't be written to {folder}: {error.strerror or error}.",
            expected="a folder that this process may write to, with room for the table",
            remedy="Set AICFG_EXPORT_DIR to such a folder and run the job drop_new_tables. Nothing was dropped.",
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return export


def _table(relation: Relation) -> Any:
    return ident(relation.schema, relation.name)


def _written(session: Session, relation: Relation, wanted: tuple[Column, ...], path: Path) -> tuple[Fingerprint, str]:
    names = [c.name for c in wanted]
    digest = hashlib.sha256()
    hashable = not catalog.unhashable_columns(session, relation.oid)
    with session.transaction(snapshot=True, read_only=True):
        whole = fingerprint.take(session, _table(relation), names, hashable=hashable)
        statement = engine("copy_out", columns=columns(names), table=_table(relation))
        with (
            gzip.open(path, "wb", compresslevel=6) as out,
            server_errors(session.url),
            session.connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            os.chmod(path, 0o600)
            for block in copy:
                digest.update(block)
                out.write(bytes(block))
    return whole, digest.hexdigest()


class _Undo(Exception):
    """Leaves the transaction of the read-back, so that nothing of it stays."""


def _read_back(
    session: Session, relation: Relation, wanted: tuple[Column, ...], path: Path, whole: Fingerprint
) -> None:
    """Load the file into a scratch table, compare the fingerprint, and roll back."""
    names = [c.name for c in wanted]
    schema = f"aicfg_rollback_scratch_{secrets.token_hex(4)}"
    copy_of = ident(schema, relation.name)
    hashable = not catalog.unhashable_columns(session, relation.oid)
    try:
        with session.transaction():
            session.execute(engine("scratch_schema", schema=ident(schema)))
            session.execute(engine("bare_like", copy=copy_of, table=_table(relation)))
            _load(session, copy_of, names, path)
            found = fingerprint.take(session, copy_of, names, hashable=hashable)
            raise _Undo
    except _Undo:
        pass
    except (psycopg.Error, EOFError, gzip.BadGzipFile) as error:
        raise ExportError(f"The export of {relation} can't be read back: {error}. Nothing was dropped.") from None
    if found != whole:
        raise ExportError(
            f"The export of {relation} reads back as {found}; the table is {whole}. Nothing was dropped.",
            remedy="Look for a full disk or a failing one, then run the job drop_new_tables again.",
        )


def _load(session: Session, table: Any, names: list[str], path: Path) -> None:
    statement = engine("copy_in", table=table, columns=columns(names))
    with (
        gzip.open(path, "rb") as lines,
        server_errors(session.url),
        session.connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        while block := lines.read(CHUNK):
            copy.write(block)


def _write_manifest(export: Export, relation: Relation, wanted: tuple[Column, ...], run_id: str) -> None:
    path = Path(export.manifest)
    names = ", ".join('"' + c.name.replace('"', '""') + '"' for c in wanted)
    manifest = {
        "format": "gzip CSV as PostgreSQL's COPY (FORMAT csv, HEADER) writes it: NULL is empty, an empty text is quoted",
        "table": relation.name,
        "run_id": run_id,
        "written_at": datetime.now(UTC).isoformat(),
        "rows": export.rows,
        "checksum": export.checksum,
        "checksum_is": "sum(hash_record_extended(row, 0)::numeric), comparable on a server of the same major version",
        "sha256_of_csv": export.sha256,
        "columns": [{"name": c.name, "type": c.type, "not_null": c.not_null} for c in wanted],
        "load_again": [
            "Make the table from the migration's new/*.sql, or with the columns above, then in psql:",
            f"\\copy the_table ({names}) FROM PROGRAM 'gzip -dc {Path(export.file).name}' (FORMAT csv, HEADER true)",
        ],
    }
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.rename(path)
