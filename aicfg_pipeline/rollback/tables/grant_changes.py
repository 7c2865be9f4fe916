"""What makes the privileges on a table those of another: all of the first go, those of the second are granted in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from psycopg import sql

from aicfg_pipeline.postgres.statements import columns, comma, engine, ident, text
from aicfg_pipeline.rollback.tables.sameness import Grant

Made = TypeVar("Made")


def grant_changes(
    table: sql.Identifier,
    live: Sequence[Grant],
    wanted: Sequence[Grant],
    change: Callable[[str, tuple[sql.Composable, ...], tuple[sql.Composable, ...]], Made],
) -> Iterator[Made]:
    """Yield the change where the lists differ, whatever their order."""
    if set(live) != set(wanted):
        yield change("privileges", tuple(_exchanged(table, live, wanted)), tuple(_exchanged(table, wanted, live)))


def _exchanged(table: sql.Identifier, have: Sequence[Grant], want: Sequence[Grant]) -> Iterator[sql.Composable]:
    for role in dict.fromkeys(g.role for g in have):
        of_columns = dict.fromkeys(g.column for g in have if g.role == role and g.column is not None)
        if of_columns:
            yield engine("revoke_on_columns", columns=columns(of_columns), table=table, role=_role(role))
        yield engine("revoke_on", table=table, role=_role(role))
    for grant in want:
        yield engine(
            "grant_on",
            privileges=comma(_privilege(p, grant.column) for p in grant.privileges),
            table=table,
            role=_role(grant.role),
            option=text(" WITH GRANT OPTION" if grant.grantable else ""),
        )


def _role(role: str | None) -> sql.Composable:
    return text("PUBLIC") if role is None else ident(role)


def _privilege(word: str, column: str | None) -> sql.Composable:
    return text(word) if column is None else sql.SQL("{} ({})").format(text(word), ident(column))
