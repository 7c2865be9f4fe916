"""The live rows behind each pair as they are found: mapped from the new table, or merged with a coexisting old one.

Joins `state` (what is there) with `mapping` (what it looks like). Running the copy does not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Column, Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import ident
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.rollback.tables.mapping import ColumnMapping, Source, map_columns, mapped, merged
from aicfg_pipeline.spec.model import Pair


def back_mapping(pair: Pair, old: Sequence[Column], new: Sequence[Column]) -> ColumnMapping:
    """Map the new table's columns to the old table's."""
    return map_columns(old, new, pair.back, handled=tuple(pair.forth))


def forth_mapping(pair: Pair, old: Sequence[Column], new: Sequence[Column]) -> ColumnMapping:
    """Map the old table's columns to the new table's."""
    return map_columns(new, old, pair.forth, handled=tuple(pair.back))


def back_source(
    session: Session, pair: Pair, old: Relation, new: Relation, superseded: Relation | None = None
) -> Source:
    """Return the rows of `new` in the columns of `old`; merged with the coexisting old table where there is one."""
    mapping = back_mapping(pair, catalog.columns(session, old.oid), catalog.columns(session, new.oid))
    rows = mapped(pair, ident(new.schema, new.name), _with_key(pair, mapping))
    return merged(pair, rows, ident(superseded.schema, superseded.name)) if superseded else rows


def forth_source(session: Session, pair: Pair, old: Relation, new: Relation) -> Source:
    """Return the rows of `old` in the columns of `new`."""
    mapping = forth_mapping(pair, catalog.columns(session, old.oid), catalog.columns(session, new.oid))
    return mapped(pair, ident(old.schema, old.name), _with_key(pair, mapping))


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
