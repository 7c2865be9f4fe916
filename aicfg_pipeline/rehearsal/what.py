"""What of a target a copy has to hold: the pairs with all that they refer to, and everything else without rows."""

from __future__ import annotations

from dataclasses import dataclass

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback.state import Look
from aicfg_pipeline.spec.model import Migration

Table = tuple[str, str]
"""Schema and name."""

LIVE_TIMES = 4
"""So many times their size do the pairs need: in the copy, as a shadow, and both once more in the write-ahead log."""

OTHER_TIMES = 2
SERVER_BYTES = 120_000_000
"""What a server needs with nothing in it."""


@dataclass(frozen=True)
class Wanted:
    """What is copied: tables with their rows, tables left out because this role may not read them, extensions."""

    with_rows: tuple[Table, ...]
    left_out: tuple[Table, ...]
    extensions: tuple[str, ...]
    our_triggers: tuple[tuple[str, str, str], ...]
    bytes_needed: int


def find_wanted(target: Session, migration: Migration, look: Look) -> Wanted:
    """Look what a copy has to hold, in the transaction under way."""
    live = [r for s in look.pairs for r in (s.at_old_name, s.at_new_name) if r is not None and r.is_table]
    references = {k.references for s in look.pairs for k in s.pair.old_ddl.foreign_keys} | {*migration.required_tables}
    around = [r for r in catalog.relations(target, references).values() if r.is_table]
    tables = target.all(engine("tables_with_rows"), {"relations": [r.oid for r in (*live, *around)]})
    names = {(r.schema, r.name) for r in live}
    return Wanted(
        with_rows=tuple((t.schema, t.name) for t in tables),
        left_out=tuple((t.schema, t.name) for t in target.all(engine("tables_closed_to_us"))),
        extensions=tuple(e.name for e in target.all(engine("extensions"))),
        our_triggers=tuple((t.schema, t.name, t.trigger) for t in target.all(engine("our_trigger_names"))),
        bytes_needed=SERVER_BYTES
        + sum(t.bytes * (LIVE_TIMES if (t.schema, t.name) in names else OTHER_TIMES) for t in tables),
    )
