"""The ledger in the target database: what was done, written in the transaction that did it.

It is the one thing of ours that stays. What a step *does* is in the step's own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from aicfg_pipeline.errors import TrustError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.place import WorksFor, let_work_for
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback import own
from aicfg_pipeline.rollback.whose import Entry as Entry
from aicfg_pipeline.rollback.whose import tell_apart
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, Migration


@dataclass(frozen=True)
class Ledger:
    """All rows of this migration, oldest first. `readable` is false where there is a ledger that this role may not read.

    `others` are the rows of other migrations, `of_before` the numbers of those rows of ours that don't say so yet.
    """

    entries: tuple[Entry, ...] = ()
    readable: bool = True
    others: tuple[Entry, ...] = ()
    of_before: tuple[int, ...] = ()

    def last(self, step: str, *, pair: str | None = None, outcome: str | None = None) -> Entry | None:
        """Return the newest row of a step (of a pair, with an outcome), or None."""
        for entry in reversed(self.entries):
            if entry.step == step and entry.pair == pair and outcome in (None, entry.outcome):
                return entry
        return None

    def of_run(self, run_id: str) -> list[Entry]:
        """Return the rows of one run, oldest first."""
        return [e for e in self.entries if e.run_id == run_id]


LEDGER = (PRIVATE_SCHEMA, "ledger")
"""Schema and name of the ledger."""


def prepare_statements(session: Session, migration: Migration, owner: str | None = None) -> list[sql.Composable]:
    """Return what makes the private schema and the ledger where they are missing; for `owner`, if that is not who runs.

    A ledger of before is taken over.
    """
    book = read(session, migration)
    before = exists(session, migration) and not _knows_migrations(session)
    rows = sql.Literal(list(book.of_before))
    return [
        *own.make_schema(owner),
        engine("create_ledger"),
        *([engine("take_over_ledger", rows=rows)] if before or book.of_before else []),
        *own.keep(["ledger"], owner, schema=PRIVATE_SCHEMA, schema_too=True),
        *own.make_own_schema(session.private_schema, owner),
    ]


def exists(session: Session, migration: Migration) -> bool:
    """Say whether there is a ledger, of whatever migration. Raises `TrustError` where it is not ours."""
    own.must_be_ours(session, migration)
    return LEDGER in catalog.relations(session, [LEDGER])


def knows(session: Session, migration: Migration) -> bool:
    """Say whether this migration has been at work here. Raises `TrustError` where the ledger is not ours."""
    if not exists(session, migration):
        return False
    book = read(session, migration)
    return bool(book.entries) or not book.others


def read(session: Session, migration: Migration, *, statements: bool = False, there: bool | None = None) -> Ledger:
    """Read the whole ledger; an empty one where there is none. The statements only where they are asked for.

    `there` is whether a look at the catalog has just found one; None: look. From here on the session works for this
    migration. Raises `TrustError` where the ledger is not ours.
    """
    let_work_for(session.connection, WorksFor(migration.name))
    try:
        if there is None:
            there = exists(session, migration)
        else:
            own.must_be_ours(session, migration)
    except TrustError:
        if own.closed_to_us(session, migration):
            return Ledger(readable=False)
        raise
    if not there:
        return Ledger()
    rows = session.all(engine("read_ledger"), {"statements": statements})
    found = tell_apart([Entry(**r._asdict()) for r in rows], migration)
    let_work_for(session.connection, WorksFor(migration.name, found.place))
    return Ledger(found.mine, others=found.others, of_before=found.of_before)


def _knows_migrations(session: Session) -> bool:
    """Say whether the ledger that is there has what a row needs to say which migration it is about."""
    return bool(session.scalar(engine("ledger_knows_migrations")))


def append(
    session: Session,
    run_id: str,
    step: str,
    outcome: str,
    *,
    pair: str | None = None,
    plan_hash: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Add a row, with the statements that the session has recorded since the last one."""
    row = append_statement(session, run_id, step, outcome, pair=pair, plan_hash=plan_hash, facts=facts)
    session.execute(row, note=False)


def placeholder(step: str, outcome: str, pair: str | None) -> sql.Composed:
    """Return the row that a plan shows: what is known only at run time stands as a variable of psql."""
    return engine(
        "append_ledger",
        run_id=sql.SQL(":'run_id'"),
        step=sql.Literal(step),
        outcome=sql.Literal(outcome),
        pair=sql.Literal(pair),
        plan_hash=sql.SQL(":'plan_hash'"),
        facts=sql.SQL(":'facts'"),
        statements=sql.Literal("[]"),
    )


def append_statement(
    session: Session,
    run_id: str,
    step: str,
    outcome: str,
    *,
    pair: str | None = None,
    plan_hash: str | None = None,
    facts: Mapping[str, Any] | sql.Composable | None = None,
) -> sql.Composed:
    """Return the statement that adds a row, for use in a script; empties the session's record of statements."""
    statements = [asdict(s) for s in session.journal]
    session.journal.clear()
    return engine(
        "append_ledger",
        run_id=sql.Literal(run_id),
        step=sql.Literal(step),
        outcome=sql.Literal(outcome),
        pair=sql.Literal(pair),
        plan_hash=sql.Literal(plan_hash),
        facts=facts if isinstance(facts, sql.Composable) else sql.Literal(Jsonb(dict(facts or {}))),
        statements=sql.Literal(Jsonb(statements)),
    )
