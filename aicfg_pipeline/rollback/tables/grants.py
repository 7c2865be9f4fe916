"""Privileges of what has just been made: nothing of default privileges, what the file grants, and sequences as they were.

Who may do what in effect, and what of it changes, is `access`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import comma, engine, ident, text
from aicfg_pipeline.rollback.tables import ddl
from aicfg_pipeline.spec.model import Ddl


def own_grants(
    session: Session, table_ddl: Ddl, schema: str, model: Relation, before: Sequence[Relation]
) -> list[sql.Composable]:
    """Return what gives a table in `schema`, which nobody but its owner has a right on, the file's `grants`.

    `model` is the table itself or one that is made like it. Its sequences first get what those of the tables `before`
    grant: the file seldom names them, and who may write a row must be able to draw its number.
    """
    return [
        *_sequence_grants(session, schema, model, before),
        *ddl.statements(table_ddl, "grants"),
    ]


def given(owner: str | None, schema: str, table: str) -> list[sql.Composable]:
    """Return what gives a table that has just been made to its owner of before; nothing where `owner` is None."""
    if owner is None:
        return []
    place = ident(schema, table).as_string(None)
    return [engine("give_table", table=sql.Literal(place), schema=sql.Literal(schema), owner=sql.Literal(owner))]


def given_functions(session: Session, owner: str | None, functions: Iterable[tuple[str, str]]) -> list[sql.Composable]:
    """Return the same for the functions of its triggers, but those that are there already: they stay whose they are."""
    if owner is None:
        return []
    there = {(f.schema, f.name) for f in functions_there(session, functions)}
    return [
        engine(
            "give_function",
            function=sql.Literal(f"{ident(*function).as_string(None)}()"),
            schema=sql.Literal(function[0]),
            owner=sql.Literal(owner),
        )
        for function in functions
        if function not in there
    ]


def functions_there(session: Session, functions: Iterable[tuple[str, str]]) -> list[Any]:
    """Return those of the functions (schema, name; no arguments) that are there: whose, and whether we may replace them."""
    wanted = list(functions)
    given = {"schemas": [s for s, _ in wanted], "names": [n for _, n in wanted]}
    return session.all(engine("functions_there"), given) if wanted else []


def _sequence_grants(
    session: Session, schema: str, model: Relation, before: Sequence[Relation]
) -> Iterator[sql.Composable]:
    for row in session.all(engine("sequence_grants"), {"target": model.oid, "before": [r.oid for r in before]}):
        yield engine(
            "grant_on_sequence",
            privileges=comma(text(p) for p in row.privileges),
            sequence=ident(schema, row.sequence),
            role=text("PUBLIC") if row.everyone else ident(row.role),
            option=text(" WITH GRANT OPTION" if row.grantable else ""),
        )
