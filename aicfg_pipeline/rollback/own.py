"""The private schema and what of ours is in it: whom it belongs to, and that nobody else has any right on it.

It belongs to the owner of the tables, whoever runs: what a superuser or a member of the owner begins, the owner can go
on with. What is *in* the ledger and the logs is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from aicfg_pipeline.errors import TrustError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, Migration


def must_be_ours(session: Session, migration: Migration) -> None:
    """Raise `TrustError` where something in the private schema is not ours. To be asked before anything there is read.

    Whoever may create schemas could have made it first, with a view or a trigger that runs code as whoever looks.
    """
    names = {
        "schema": migration.schema,
        "tables": [n for p in migration.pairs for n in (p.old, p.new)],
        "logs": [p.change_log for p in migration.pairs],
    }
    found = [r.complaint for r in session.all(engine("not_ours"), names)]
    if found:
        raise TrustError(
            "The schema aicfg_rollback is there, and it is not as this pipeline makes it. Nothing in it was read.",
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
    """Return what makes the private schema where it is missing, and gives it to a role; None: to whoever runs."""
    made: list[sql.Composable] = [engine("create_schema")]
    if owner is not None:
        made.append(engine("own_schema", schema=sql.Literal(PRIVATE_SCHEMA), owner=sql.Literal(owner)))
    return made


def keep(
    names: Iterable[str], owner: str | None, *, others: Iterable[str] = (), schema_too: bool = False
) -> list[sql.Composable]:
    """Return what takes all rights of others off tables and functions of ours, and off `others` that lie beside them.

    To be run in the transaction that makes them: default privileges may have opened them. With an `owner` that is not
    who runs, ours are given to the schema's owner first.
    """
    ours = list(names)
    given = [engine("own_things", schema=sql.Literal(PRIVATE_SCHEMA), names=sql.Literal(ours))] if owner else []
    return [*given, close_to_others(PRIVATE_SCHEMA, [*ours, *others], schema_too=schema_too)]


def close_to_others(schema: str, names: Iterable[str] = (), *, schema_too: bool = False) -> sql.Composed:
    """Return what takes every right of others off named things in a schema, and off the schema itself if asked."""
    return engine(
        "close_to_others",
        schema=sql.Literal(schema),
        names=sql.Literal(list(names)),
        schema_too=sql.Literal(schema_too),
    )
