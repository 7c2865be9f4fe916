"""Setting a table of the private schema aside: all its names make way, and the ledger knows it by its new one.

When that has to be is the steps' to say.
"""

from __future__ import annotations

from psycopg import sql

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident, private
from aicfg_pipeline.spec.model import shortened


def free_name(session: Session, name: str) -> str:
    """Return a name that nothing in the private schema bears: `superseded_N_` and the name."""
    taken = {r.name for r in session.all(engine("own_relations"))}
    number = 1
    while (free := shortened(f"superseded_{number}_", name)) in taken:
        number += 1
    return free


def set_aside(session: Session, table: Relation) -> tuple[str, list[sql.Composable]]:
    """Return the new name of a table, and what gives it that name, its indexes and sequences included."""
    name = free_name(session, table.name)
    prefix = name.removesuffix(table.name) if name.endswith(table.name) else f"{name}_"
    statements: list[sql.Composable] = []
    for own in session.all(engine("own_relations_of"), {"oid": table.oid}):
        block, part = ("rename_index", "index") if own.kind == "INDEX" else ("rename_sequence", "sequence")
        new_name = ident(shortened(prefix, own.name))
        statements.append(engine(block, **{part: private(own.name)}, name=new_name))
    for own in session.all(engine("not_null_constraints_of"), {"oid": table.oid}):
        parts = {"constraint": ident(own.name), "name": ident(shortened(prefix, own.name))}
        statements.append(engine("rename_constraint", table=private(table.name), **parts))
    return name, [*statements, engine("rename_table", table=private(table.name), name=ident(name))]
