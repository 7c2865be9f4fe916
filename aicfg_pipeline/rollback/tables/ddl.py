"""Runs blocks of the migration's DDL files in the right place. What the files say is the migration's business."""

from __future__ import annotations

from psycopg import sql

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident, text
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, Ddl

SECURITY_INVOKER_SINCE = 150_000


def building_path(run: Run, schema: str = PRIVATE_SCHEMA) -> tuple[str, ...]:
    """Return the search path under which a DDL file makes its table in `schema`, under its final name."""
    return (schema, *run.search_path)


def statements(ddl: Ddl, block: str) -> tuple[str, ...]:
    """Return the statements of a block; none where the file does not have it."""
    return ddl.blocks[block].statements if block in ddl.blocks else ()


def run_block(session: Session, ddl: Ddl, block: str) -> None:
    """Run one block of a DDL file, statement by statement; nothing where the file does not have it."""
    for statement in statements(ddl, block):
        session.execute(text(statement))


def run_blocks(session: Session, ddl: Ddl, *blocks: str) -> None:
    """Run several blocks in the given order."""
    for block in blocks:
        run_block(session, ddl, block)


def only_own_grants(session: Session, ddl: Ddl, table: sql.Identifier, oid: int) -> None:
    """Run the file's `grants` on a table that has just been made, after taking off what default privileges gave."""
    for grantee in session.all(engine("other_grantees"), {"oid": oid}):
        if grantee.everyone:
            session.execute(engine("revoke_from_public", table=table))
        else:
            session.execute(engine("revoke_from_role", table=table, role=ident(grantee.role)))
    run_block(session, ddl, "grants")


def make_view(run: Run, state: PairState) -> None:
    """Make the view at the old name, with the readers' own rights where the server can."""
    run_block(run.session, state.pair.view_ddl, "view")
    if run.session.version >= SECURITY_INVOKER_SINCE:
        run_block(run.session, state.pair.view_ddl, "security_invoker")
    run_blocks(run.session, state.pair.view_ddl, "grants", "comments")
