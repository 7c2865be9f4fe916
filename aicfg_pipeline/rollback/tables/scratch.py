"""The old table as its DDL file makes it, in a scratch schema inside a transaction that is always rolled back.

Foreign keys are never made there: they would lock the tables that they refer to. What a file has touched outside the scratch
schema is told by the server's own catalogs, and refused. What the facts are compared with does not belong here.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from aicfg_pipeline.errors import DatabaseError, OnlyReadsError, SpecError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.rollback.tables import ddl
from aicfg_pipeline.spec.ddl import Function, functions_made
from aicfg_pipeline.spec.model import Ddl, Migration


class _Done(Exception):
    """Leaves the transaction, so that nothing of it stays."""


class _NoSchema(Exception):
    """The scratch schema can't be made; whether that is no wonder here is asked once the transaction is left."""

    def __init__(self, why: DatabaseError) -> None:
        super().__init__(str(why))
        self.why = why


@contextmanager
def scratch_table(
    session: Session, migration: Migration, table_ddl: Ddl, name: str, *blocks: str, snapshot: bool = False
) -> Iterator[Relation]:
    """Make the table of a DDL file from the named blocks (`table` first), and unmake it at the end."""
    with scratch_tables(session, migration, {name: table_ddl}, *blocks, snapshot=snapshot) as made:
        yield made[name]


@contextmanager
def scratch_tables(
    session: Session, migration: Migration, files: Mapping[str, Ddl], *blocks: str, snapshot: bool = False
) -> Iterator[dict[str, Relation]]:
    """The same for several tables by name, all in one schema; in a `snapshot` rows of others are the same all along.

    Raises `SpecError` at the end where something outside the schema was touched.
    """
    schema = f"aicfg_rollback_scratch_{secrets.token_hex(4)}"
    path = (schema, migration.schema, "extensions")
    try:
        with session.transaction(search_path=path, snapshot=snapshot):
            _make_schema(session, schema)
            for file in files.values():
                ddl.run_blocks(session, file, "table", *blocks)
            found = catalog.relations(session, [(schema, name) for name in files])
            yield {name: found[schema, name] for name in files}
            _must_have_stayed_inside(session, schema, files.values(), _functions(session, migration, files.values()))
            raise _Done
    except _Done:
        pass
    except _NoSchema as error:
        _must_be_possible(session)
        raise error.why from None


def _make_schema(session: Session, schema: str) -> None:
    try:
        session.execute(engine("scratch_schema", schema=ident(schema)))
    except DatabaseError as error:
        raise _NoSchema(error) from error


def _must_be_possible(session: Session) -> None:
    """Raise `OnlyReadsError` on a standby, and for a role that may not make a schema."""
    may = session.one(engine("may_make_scratch"))
    if may.only_reads or not may.may_create:
        who = "this connection only reads" if may.only_reads else f"{may.role} may not create a schema here"
        raise OnlyReadsError(f"{who}, and the migration's file is run in a scratch schema to compare with.")


def _functions(session: Session, migration: Migration, files: Collection[Ddl]) -> list[Function]:
    """Return the functions that may be made: those of the files' triggers, and our own change logs'."""
    ours = [(session.private_schema, pair.change_log) for pair in migration.pairs]
    return ours + [f for file in files for f, _ in functions_made(file, migration.schema)]


def _must_have_stayed_inside(
    session: Session, schema: str, files: Collection[Ddl], functions: Collection[Function]
) -> None:
    given = {"scratch": schema, "schemas": [s for s, _ in functions], "names": [n for _, n in functions]}
    touched = [r.what for r in session.all(engine("touched_outside"), given)]
    if touched:
        raise SpecError(
            f"{', '.join(f.path for f in files)} changes what it does not make. It was tried and taken back.",
            complaints=touched,
            expected="statements that change only the table that the file makes, and what belongs to it",
            remedy="Look for the statement that names one of these, and take it out of the file.",
        )
