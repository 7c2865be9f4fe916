"""Where a table's rows are on disk, and how a row is laid out: what shows that no row has moved."""

from __future__ import annotations

from typing import Any

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine


def files_of(session: Session, table: Relation) -> dict[str, Any]:
    """Return the numbers of a table's files, a hash of its rows' layout, and which table it is."""
    found = session.one(engine("on_disk"), {"oid": table.oid})
    return {"oid": table.oid, "file": found.file, "toast_file": found.toast_file, "layout": found.layout}


def columns_of(session: Session, table: Relation) -> tuple[tuple[str, ...], bool]:
    """Return the names of a table's columns in their order, and whether rows can be hashed as they are."""
    names = tuple(c.name for c in catalog.columns(session, table.oid))
    return names, not catalog.unhashable_columns(session, table.oid)
