"""The live rows behind each pair as they are found: mapped from the new table, or merged with a coexisting old one.

Joins `state` (what is there) with `mapping` (what it looks like). Running the copy does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Column, Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import ident
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.rollback.tables.change_log import key_columns
from aicfg_pipeline.rollback.tables.mapping import ColumnMapping, Source, map_columns, mapped, merged
from aicfg_pipeline.spec.model import Pair


@dataclass(frozen=True)
class Way:
    """One table's columns on their way into another's. `said` is where migration.yaml has their expressions."""

    pair: Pair
    said: Literal["back", "forth"]
    source: Relation
    have: tuple[Column, ...]
    target: Relation
    wanted: tuple[Column, ...]
    mapping: ColumnMapping

    @property
    def table(self) -> sql.Identifier:
        """The source's name."""
        return ident(self.source.schema, self.source.name)

    @property
    def of(self) -> str:
        """The source as a person knows it."""
        if self.source.name != self.target.name:
            return self.source.name
        return f"{self.source.name} (the old table that still stands)"

    @property
    def to(self) -> str:
        """The target as a person knows it."""
        return self.target.name

    @property
    def is_new(self) -> bool:
        """It is the new table's columns that go back."""
        return self.said == "back" and self.source.name == self.pair.new

    @property
    def keys(self) -> sql.Composed:
        """The key's columns as a log has them that holds either side's keys."""
        _with_key(self.pair, self.mapping)
        return key_columns(self.pair.key, self.have, self.wanted)

    @property
    def rows(self) -> Source:
        """The source's rows in the columns of the target."""
        return mapped(self.pair, self.table, _with_key(self.pair, self.mapping))


def _columns(session: Session, source: Relation, target: Relation) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """Return the columns of both; with what generated ones are made from, where the source has a value of its own."""
    found = catalog.columns_of(session, source.oid, target.oid)
    have, wanted = found[source.oid], found[target.oid]
    own = {c.name for c in have if not c.generated}
    if any(c.generated and c.name in own for c in wanted):
        wanted = catalog.with_expressions(session, target.oid, wanted)
    return have, wanted


def back_way(session: Session, pair: Pair, old: Relation, new: Relation) -> Way:
    """Return how the new table's columns go into the old table."""
    have, wanted = _columns(session, new, old)
    return Way(pair, "back", new, have, old, wanted, map_columns(wanted, have, pair.back, pair.forth))


def superseded_way(session: Session, pair: Pair, old: Relation, superseded: Relation) -> Way:
    """Return how the columns of an old table that coexists with the new one go into the restored old table."""
    have, wanted = _columns(session, superseded, old)
    return Way(pair, "back", superseded, have, old, wanted, map_columns(wanted, have, {}))


def forth_way(session: Session, pair: Pair, old: Relation, new: Relation) -> Way:
    """Return how the old table's columns go into the new table."""
    have, wanted = _columns(session, old, new)
    return Way(pair, "forth", old, have, new, wanted, map_columns(wanted, have, pair.forth, pair.back))


def back_source(
    session: Session, pair: Pair, old: Relation, new: Relation, superseded: Relation | None = None
) -> Source:
    """Return the rows of `new` in the columns of `old`; merged with the coexisting old table where there is one."""
    way = back_way(session, pair, old, new)
    if superseded is None:
        return way.rows
    new_rows, old_rows = way.rows, superseded_way(session, pair, old, superseded).rows
    one_sided = set(new_rows.columns) ^ set(old_rows.columns)
    return merged(
        pair, new_rows, old_rows, catalog.with_expressions(session, old.oid, way.wanted) if one_sided else way.wanted
    )


def forth_source(session: Session, pair: Pair, old: Relation, new: Relation) -> Source:
    """Return the rows of `old` in the columns of `new`."""
    return forth_way(session, pair, old, new).rows


def shadow_source(session: Session, state: PairState, model: Relation | None = None) -> Source:
    """Return the live rows that the pair's shadow is a copy of; `model` is made like a shadow that is not there yet."""
    shadow = model or state.shadow
    assert shadow is not None
    return back_source(session, state.pair, shadow, state.new_table, state.superseded)


def _with_key(pair: Pair, mapping: ColumnMapping) -> ColumnMapping:
    missing = [k for k in pair.key if k not in mapping.expressions]
    if missing:
        raise SpecError(
            f"Pair {pair.old}: the key column {', '.join(missing)} is not a column of both tables.",
            expected="a key whose columns exist in the old and the new table",
            remedy="Correct `key` in migration.yaml.",
        )
    return mapping
