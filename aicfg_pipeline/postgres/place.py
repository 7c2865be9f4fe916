"""For which migration a connection works, and in which private schema that one's things are.

The name of that schema is known to the connection: a statement is composed without it, and has it when it is sent or shown.
So no part of the engine can take the schema of another migration. How the schema is found is `rollback.ledger`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import sql

from aicfg_pipeline.spec.model import PRIVATE_SCHEMA


@dataclass(frozen=True)
class WorksFor:
    """The migration's name, and the private schema that holds what is made for it."""

    migration: str | None = None
    schema: str = PRIVATE_SCHEMA


_WORKS_FOR: WeakKeyDictionary[psycopg.Connection[Any], WorksFor] = WeakKeyDictionary()


def works_for(connection: psycopg.Connection[Any] | None) -> WorksFor:
    """Return for which migration a connection works; where nobody has said so, for none, in the schema of the ledger."""
    return WorksFor() if connection is None else _WORKS_FOR.get(connection, WorksFor())


def let_work_for(connection: psycopg.Connection[Any], what: WorksFor) -> None:
    """Note for which migration a connection works from now on."""
    _WORKS_FOR[connection] = what


def _of(context: Any) -> WorksFor:
    return works_for(context.connection if context is not None else None)


class PrivateName(sql.Identifier):
    """A name in the private schema, or that schema's own name where none is given."""

    def __init__(self, *names: str) -> None:
        super().__init__(PRIVATE_SCHEMA, *names)

    def as_bytes(self, context: Any = None) -> bytes:
        """Return the name as the connection has it."""
        return sql.Identifier(_of(context).schema, *self._obj[1:]).as_bytes(context)


class PrivateSchema(sql.Composable):
    """The private schema's name as a value."""

    def __init__(self) -> None:
        super().__init__(None)

    def as_bytes(self, context: Any = None) -> bytes:
        """Return the value as the connection has it."""
        return sql.Literal(_of(context).schema).as_bytes(context)


class MigrationName(sql.Composable):
    """The name of the migration as a value."""

    def __init__(self) -> None:
        super().__init__(None)

    def as_bytes(self, context: Any = None) -> bytes:
        """Return the value as the connection has it."""
        return sql.Literal(_of(context).migration).as_bytes(context)


class AsValue(sql.Composable):
    """A name as SQL writes it, as a value: for a cast to regclass."""

    def as_bytes(self, context: Any = None) -> bytes:
        """Return the value as the connection has it."""
        named: sql.Composable = self._obj
        return sql.Literal(named.as_string(context)).as_bytes(context)
