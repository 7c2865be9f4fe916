"""The statements of the migration's DDL files, in the right place. What the files say is the migration's business."""

from __future__ import annotations

from psycopg import sql

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import Statement, engine, ident, text
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, Ddl, Pair

SECURITY_INVOKER_SINCE = 150_000


def building_path(run: Run, schema: str = PRIVATE_SCHEMA) -> tuple[str, ...]:
    """Return the search path under which a DDL file makes its table in `schema`, under its final name."""
    return (schema, *run.search_path)


def statements(ddl: Ddl, *blocks: str) -> list[sql.Composable]:
    """Return the statements of some blocks in the given order; none of a block that the file does not have."""
    there = [ddl.blocks[b] for b in blocks if b in ddl.blocks]
    return [Statement(text(s), f"{ddl.path}, {b.name}: {b.description}") for b in there for s in b.statements]


def run_blocks(session: Session, ddl: Ddl, *blocks: str) -> None:
    """Run some blocks in the given order, statement by statement."""
    for statement in statements(ddl, *blocks):
        session.execute(statement)


def view_statements(session: Session, pair: Pair, owner: str | None = None) -> list[sql.Composable]:
    """Return what makes the view at the old name, with the readers' own rights where the server can; for `owner`."""
    hardened = ("security_invoker",) if session.version >= SECURITY_INVOKER_SINCE else ()
    given = [engine("give_view", view=ident(pair.old), owner=ident(owner))] if owner else []
    return [
        *statements(pair.view_ddl, "view", *hardened),
        *given,
        *statements(pair.view_ddl, "grants", "comments"),
    ]
