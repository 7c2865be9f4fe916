"""Functions that the old table's triggers call: made by its file, perhaps there already, perhaps called by tables of others.

The cut-over replaces what is there, for everybody who calls it. What was there is kept in its row of the ledger, and undo
puts it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, text
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import Look
from aicfg_pipeline.spec.ddl import function_body, trigger_functions
from aicfg_pipeline.spec.model import Migration, Pair

FACT = "former_functions"


@dataclass(frozen=True)
class FormerFunction:
    """A function as it is before the file replaces it. `same` says that its text is the file's."""

    schema: str
    name: str
    definition: str
    same: bool
    used_by: tuple[str, ...]


def former_functions(session: Session, migration: Migration, look: Look, pair: Pair) -> list[FormerFunction]:
    """Return those of a pair's trigger functions that exist, and which tables outside this migration call them."""
    files = {function: function_body(statement) for function, statement in trigger_functions(pair, migration.schema)}
    places = [(s.at_old_name, s.at_new_name, s.private_old, s.private_new) for s in look.pairs]
    given = {
        "schemas": [schema for schema, _ in files],
        "names": [name for _, name in files],
        "ours": [r.oid for place in places for r in place if r is not None],
    }
    with session.transaction(read_only=True):
        rows = session.all(engine("former_functions"), given)
    return [
        FormerFunction(
            r.schema, r.name, r.definition, _trimmed(r.body) == _trimmed(files[r.schema, r.name]), tuple(r.used_by)
        )
        for r in rows
    ]


def _trimmed(body: str | None) -> list[str]:
    return [line.rstrip() for line in (body or "").split("\n")]


def as_facts(functions: Iterable[FormerFunction]) -> list[dict[str, Any]]:
    """Return what the ledger keeps: the definitions of functions that the file changes."""
    return [{"schema": f.schema, "name": f.name, "definition": f.definition} for f in functions if not f.same]


def put_back_statements(
    session: Session, migration: Migration, look: Look, book: Ledger, pair: Pair
) -> list[sql.Composable]:
    """Return what puts back the functions that the last cut-over replaced. One that was changed since is left alone."""
    swap = book.last("cut_over", pair=pair.old, outcome="done")
    former = {(f["schema"], f["name"]): str(f["definition"]) for f in (swap.facts.get(FACT, ()) if swap else ())}
    if not former:
        return []
    as_made = {(f.schema, f.name) for f in former_functions(session, migration, look, pair) if f.same}
    return [text(definition) for function, definition in former.items() if function in as_made]
