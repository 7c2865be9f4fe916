"""Reads the system catalogs; never writes. What the facts *mean* for a rollback is for `rollback.state`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aicfg_pipeline.postgres.equality import Equality
from aicfg_pipeline.postgres.locks import Blocker
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine

TABLE_KINDS = ("r", "p")
VIEW_KINDS = ("v",)
KIND_NAMES = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}


@dataclass(frozen=True)
class Relation:
    """A relation as the catalog has it; `own_equality` has the columns whose type has operators outside pg_catalog."""

    schema: str
    name: str
    oid: int
    kind: str
    owner: str
    is_owner: bool
    hides_rows: bool
    estimated_rows: int
    bytes: int
    own_equality: Mapping[str, Equality] = field(default_factory=dict, compare=False)

    @property
    def is_table(self) -> bool:
        """An ordinary or partitioned table."""
        return self.kind in TABLE_KINDS

    @property
    def is_view(self) -> bool:
        """A plain view."""
        return self.kind in VIEW_KINDS

    def __str__(self) -> str:
        return f"{self.schema}.{self.name} ({KIND_NAMES.get(self.kind, self.kind)})"


@dataclass(frozen=True)
class Column:
    """A column: `type` with its modifier, `base_type` without, `core` what a domain stands on (else the same).

    `expression` is its default, or what it is generated from, where `with_expressions` has read it.
    """

    name: str
    type: str
    base_type: str
    not_null: bool
    generated: bool
    identity: bool
    has_default: bool
    core: str
    collation: str | None
    expression: str | None = None


@dataclass(frozen=True)
class TableForeignKey:
    """A foreign key that a table has in the database."""

    name: str
    definition: str
    validated: bool
    ref_schema: str
    ref_table: str
    ref_oid: int
    columns: list[str]
    ref_columns: list[str]


def relations(session: Session, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Relation]:
    """Return those of the named relations (schema, name) that exist."""
    wanted = list(dict.fromkeys(names))
    rows = session.all(engine("relations"), {"schemas": [s for s, _ in wanted], "names": [n for _, n in wanted]})
    own = _own_equality(session, [r.oid for r in rows if r.own_types])
    return {(r.schema, r.name): _relation(r._asdict(), own.get(r.oid, {})) for r in rows}


def _relation(found: dict[str, Any], own: Mapping[str, Equality]) -> Relation:
    del found["own_types"]
    return Relation(**found, own_equality=own)


def _own_equality(session: Session, oids: Sequence[int]) -> dict[int, dict[str, Equality]]:
    """Return by relation the columns that compare by an operator of their type's own. Most relations have none."""
    own: dict[int, dict[str, Equality]] = {}
    for r in session.all(engine("own_equality"), {"relations": list(oids)}) if oids else ():
        own.setdefault(r.relation, {})[r.name] = Equality(r.operator, r.type)
    return own


def columns(session: Session, oid: int) -> tuple[Column, ...]:
    """Return the columns of a relation in their order."""
    return columns_of(session, oid)[oid]


def columns_of(session: Session, *oids: int) -> dict[int, tuple[Column, ...]]:
    """Return the columns of several relations by relation, in one round trip."""
    found: dict[int, list[Column]] = {oid: [] for oid in oids}
    for row in session.all(engine("columns"), {"relations": list(oids)}):
        told = row._asdict()
        found[told.pop("relation")].append(Column(**told))
    return {oid: tuple(listed) for oid, listed in found.items()}


def with_expressions(session: Session, oid: int, found: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of a relation with their defaults; asks for a lock on it, where `columns` does not."""
    said = {r.name: r.expression for r in session.all(engine("column_expressions"), {"oid": oid})}
    return tuple(replace(c, expression=said.get(c.name)) for c in found)


def foreign_keys(session: Session, oid: int) -> tuple[TableForeignKey, ...]:
    """Return the foreign keys of a table, by name."""
    return tuple(TableForeignKey(**r._asdict()) for r in session.all(engine("table_foreign_keys"), {"oid": oid}))


def our_triggers(session: Session, oid: int, change_log: str | None = None) -> dict[str, str]:
    """Return our triggers on a relation: name to enabled flag ('A' fires always). With `change_log` only those of it."""
    rows = session.all(engine("our_triggers"), {"oid": oid})
    return {r.name: r.enabled for r in rows if change_log in (None, r.function)}


def change_logs_on(session: Session, oid: int) -> set[tuple[str, str]]:
    """Return schema and name of the functions of ours that triggers on a relation call: one for each pair that logs there."""
    return {(r.schema, r.function) for r in session.all(engine("our_triggers"), {"oid": oid})}


def tables_behind(session: Session, oid: int) -> list[str]:
    """Return the tables and views that a view reads, by schema and name."""
    return [r.name for r in session.all(engine("tables_behind"), {"oid": oid})]


def unhashable_columns(session: Session, oid: int) -> tuple[str, ...]:
    """Return the columns whose type has no hash function, so that the row must be hashed as text."""
    return tuple(r[0] for r in session.all(engine("unhashable"), {"oid": oid}))


def blockers(session: Session, oids: Sequence[int]) -> list[Blocker]:
    """Return who holds a lock on one of these relations."""
    return [Blocker(**r._asdict()) for r in session.all(engine("blockers_of_relations"), {"relations": list(oids)})]
