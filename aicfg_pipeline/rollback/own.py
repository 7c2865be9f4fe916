"""The private schema and what of ours is in it: whom it belongs to, and that nobody else has any right on it.

It belongs to the owner of the tables, whoever runs: what a superuser or a member of the owner begins, the owner can go
on with. What is *in* the ledger and the logs is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from aicfg_pipeline.errors import TrustError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, Migration


def must_be_ours(session: Session, migration: Migration) -> None:
    """Raise `TrustError` where something in the private schema is not ours. To be asked before anything there is read.

    Whoever may create schemas could have made it first, with a view or a trigger that runs code as whoever looks.
    """
    names = {
        "places": [PRIVATE_SCHEMA, migration.own_schema],
        "schema": migration.schema,
        "tables": [n for p in migration.pairs for n in (p.old, p.new)],
        "logs": [p.change_log for p in migration.pairs],
    }
    found = [r.complaint for r in session.all(engine("not_ours"), names)]
    if found:
        raise TrustError(
            "The private schema is there, and it is not as this pipeline makes it. Nothing in it was read.",
            complaints=found,
            expected="schema, ledger, change logs and functions that belong to the role that runs (or to one that it is"
            " a member of), ordinary tables, without triggers or rules of others",
            remedy="Find out who made what is named above. If a rollback of this pipeline did, under another role, run"
            " as that role. If not, somebody may want to run code with your rights: take their CREATE on the database"
            " away, have a superuser look at the schema and drop it, then run again.",
        )


def closed_to_us(session: Session, migration: Migration) -> bool:
    """Say whether the private schema is the tables' owner's and we are a role that may not enter it: one that only reads."""
    names = {"schema": migration.schema, "tables": [n for p in migration.pairs for n in (p.old, p.new)]}
    return session.one(engine("closed_to_us"), names) is not None


def on_behalf_of(session: Session, owner: str | None) -> str | None:
    """Return the role that what we make has to be given to; None where we are that role, or there is none to ask."""
    return None if owner in (None, session.scalar(engine("current_role"))) else owner


def make_schema(owner: str | None) -> list[sql.Composable]:
    """Return what makes the ledger's schema where it is missing, and gives it to a role; None: to whoever runs."""
    return [engine("create_schema"), *_given(PRIVATE_SCHEMA, owner)]


def make_own_schema(schema: str, owner: str | None) -> list[sql.Composable]:
    """Return the same for the private schema of a migration; nothing where that is the ledger's."""
    if schema == PRIVATE_SCHEMA:
        return []
    made = engine("create_own_schema", schema=ident(schema))
    return [made, *_given(schema, owner), close_to_others(schema, schema_too=True)]


def leave_schema(session: Session) -> list[sql.Composable]:
    """Return what drops the private schema of a migration once it is empty; nothing where that is the ledger's."""
    return [] if session.private_schema == PRIVATE_SCHEMA else [engine("drop_own_schema")]


def _given(schema: str, owner: str | None) -> list[sql.Composable]:
    return [engine("own_schema", schema=sql.Literal(schema), owner=sql.Literal(owner))] if owner is not None else []


def keep(
    names: Iterable[str], owner: str | None, *, others: Iterable[str] = (), schema: str, schema_too: bool = False
) -> list[sql.Composable]:
    """Return what takes all rights of others off tables and functions of ours in `schema`, and off `others` there.

    To be run in the transaction that makes them: default privileges may have opened them. With an `owner` that is not
    who runs, ours are given to the schema's owner first.
    """
    ours = list(names)
    given = [engine("own_things", schema=sql.Literal(schema), names=sql.Literal(ours))] if owner else []
    return [*given, close_to_others(schema, [*ours, *others], schema_too=schema_too)]


def close_to_others(schema: str, names: Iterable[str] = (), *, schema_too: bool = False) -> sql.Composed:
    """Return what takes every right of others off named things in a schema, and off the schema itself if asked."""
    return engine(
        "close_to_others",
        schema=sql.Literal(schema),
        names=sql.Literal(list(names)),
        schema_too=sql.Literal(schema_too),
    )
