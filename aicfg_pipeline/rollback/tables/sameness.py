"""What a table is made of, as a list of things, each with a name and with what it is apart from its name.

Two tables whose columns read alike hold their rows alike: what differs then can be changed where the rows are. What is
done about a difference is `rename`'s, and whether it is done `way`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aicfg_pipeline.postgres.catalog import Relation, TableForeignKey
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.settings import path_statement
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.spec.model import ForeignKey

KINDS = ("column", "constraint", "index", "trigger", "policy", "statistics", "sequence", "rule")


@dataclass(frozen=True)
class Thing:
    """One thing of a table: `nameless` reads the same for two that are one thing under two names."""

    kind: str
    name: str
    nameless: str
    facts: Mapping[str, Any]

    @property
    def comment(self) -> str | None:
        """What is said of it."""
        found: str | None = self.facts.get("comment")
        return found


@dataclass(frozen=True)
class Grant:
    """What one role may do by the list of the table, or of one of its columns; `role` None is everyone."""

    column: str | None
    role: str | None
    privileges: tuple[str, ...]
    grantable: bool
    by_another: bool


@dataclass(frozen=True)
class Made:
    """All that a table is made of, but for its foreign keys. `itself` is what it is as a whole."""

    things: tuple[Thing, ...]
    itself: Mapping[str, Any]
    grants: tuple[Grant, ...]
    owners: str

    def of(self, kind: str) -> list[Thing]:
        """Return the things of one kind."""
        return [t for t in self.things if t.kind == kind]


@dataclass(frozen=True)
class Key:
    """A foreign key of the live table: as the files' are read, and as the server makes it again."""

    key: ForeignKey
    definition: str
    validated: bool
    ref_oid: int


def read(session: Session, table: Relation, path: Sequence[str]) -> Made:
    """Read a table within the transaction under way, whose search path has the table's schema first; it is `path`."""
    given = {"oid": table.oid}
    rows = session.all(engine("things_of"), given)
    itself = session.one(engine("table_itself"), given)._asdict()
    granted = session.all(engine("grants_of"), given)
    owners = session.scalar(engine("owner_grants"), given)
    session.execute(path_statement(()), note=False)
    endings = {r.name: r.ending for r in session.all(engine("index_endings"), given)}
    session.execute(path_statement(path), note=False)
    return Made(
        tuple(
            Thing(r.kind, r.name, r.nameless, {**r.facts, **({"ending": endings[r.name]} if r.name in endings else {})})
            for r in rows
        ),
        itself,
        tuple(
            Grant(r.column, None if r.everyone else r.role, tuple(r.privileges), r.grantable, r.by_another)
            for r in granted
        ),
        owners,
    )


def as_declared(row: Any) -> ForeignKey:
    """Return a foreign key in the form in which a DDL file's are read; `row` is one of the block foreign_key_facts."""
    return ForeignKey(
        name=row.name,
        columns=tuple(row.columns),
        references=(row.ref_schema, row.ref_table),
        target_columns=tuple(row.target_columns),
        options=frozenset(row.options),
    )


def keys_of(found: Sequence[Any], made: Sequence[TableForeignKey]) -> list[Key]:
    """Return a table's foreign keys from their facts, and from their definitions in which every name is qualified."""
    by_name = {k.name: k for k in made}
    return [
        Key(
            as_declared(r),
            by_name[r.name].definition,
            by_name[r.name].validated,
            by_name[r.name].ref_oid,
        )
        for r in found
        if r.name in by_name
    ]


@dataclass(frozen=True)
class Matched:
    """Things of two tables: the same ones under maybe two names, what only the live one has, what is missing there."""

    pairs: tuple[tuple[Thing, Thing], ...]
    too_much: tuple[Thing, ...]
    missing: tuple[Thing, ...]


def match(live: Sequence[Thing], wanted: Sequence[Thing]) -> Matched:
    """Match the live table's things of one kind with those wanted; of several that read alike those of one name first."""
    left, pairs = list(live), []
    waiting = list(wanted)
    for same_name in (True, False):
        for thing in list(waiting):
            found = next(
                (t for t in left if t.nameless == thing.nameless and (t.name == thing.name or not same_name)), None
            )
            if found is not None:
                left.remove(found)
                waiting.remove(thing)
                pairs.append((found, thing))
    return Matched(tuple(pairs), tuple(left), tuple(waiting))
