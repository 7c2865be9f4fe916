"""The statements of the migration's DDL files, in the right place. What the files say is the migration's business."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from psycopg import sql

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import Statement, engine, ident, text, why_of
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.spec.ddl import redirected
from aicfg_pipeline.spec.model import Ddl, Pair

SECURITY_INVOKER_SINCE = 150_000


def building_path(run: Run, schema: str | None = None) -> tuple[str, ...]:
    """Return the search path under which a DDL file makes its table in `schema` (by default the private one)."""
    return (schema or run.session.private_schema, *run.search_path)


def statements(ddl: Ddl, *blocks: str) -> list[sql.Composable]:
    """Return the statements of some blocks in the given order; none of a block that the file does not have."""
    there = [ddl.blocks[b] for b in blocks if b in ddl.blocks]
    return [Statement(text(s), f"{ddl.path}, {b.name}: {b.description}") for b in there for s in b.statements]


def key_statements(
    files: Sequence[Ddl], ours: Collection[tuple[str, str]], private_schema: str
) -> tuple[list[sql.Composable], list[sql.Composable]]:
    """Return what makes the foreign keys of shadows: those to each other, then those to tables of others.

    `ours` are the old tables by schema and name whose shadows are still in the private schema. A key between two shadows
    must not be there while rows are replayed: a row is taken out and put in again, and its key would cascade.
    """
    between: list[sql.Composable] = []
    outside: list[sql.Composable] = []
    for file in files:
        for key, statement in zip(file.foreign_keys, statements(file, "foreign_keys"), strict=True):
            if key.references in ours:
                moved = redirected(statement.as_string(None), ours, private_schema)
                between.append(Statement(text(moved), why_of(statement)))
            else:
                outside.append(statement)
    return between, outside


def run_blocks(session: Session, ddl: Ddl, *blocks: str) -> None:
    """Run some blocks in the given order, statement by statement."""
    for statement in statements(ddl, *blocks):
        session.execute(statement)


def view_statements(session: Session, pair: Pair, owner: str | None = None) -> list[sql.Composable]:
    """Return what makes the view at the old name, for `owner`; nothing where the migration has none.

    Its block `security_invoker`, if it has one, is for servers that can.
    """
    if pair.view_ddl is None:
        return []
    hardened = ("security_invoker",) if session.version >= SECURITY_INVOKER_SINCE else ()
    given = [engine("give_view", view=ident(pair.old), owner=ident(owner))] if owner else []
    return [
        *statements(pair.view_ddl, "view", *hardened),
        *given,
        *statements(pair.view_ddl, "grants", "comments"),
    ]
