"""Comparing two sides of one pair in one snapshot. What a difference means is the caller's to say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres import catalog, fingerprint
from aicfg_pipeline.postgres.fingerprint import Differences, Fingerprint
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.rollback.tables.mapping import Source
from aicfg_pipeline.rollback.tables.sources import back_source

COMPARE_SETTINGS = {"work_mem": "32MB"}
"""For the join of whole rows: with the default 4 MB most of it goes through temporary files."""


@dataclass(frozen=True)
class Since:
    """An earlier comparison that this one stands on: when it was (ISO 8601), and how many keys were looked at since."""

    proven_at: str
    looked_at: int


@dataclass(frozen=True)
class Comparison:
    """Two sides of one pair in one snapshot: `before` the live rows, `after` the copy.

    With `since` only the rows written since that comparison were read row by row.
    """

    before: Fingerprint
    after: Fingerprint
    differences: Differences
    since: Since | None = None

    @property
    def proven(self) -> bool:
        """Every difference is explained, and the numbers agree wherever there is none."""
        same = self.before == self.after
        return self.differences.unexplained == 0 and (same or self.differences.differences > 0)

    def __str__(self) -> str:
        """What a person reads while it runs: once where both sides are the same."""
        if self.before == self.after and not self.differences.differences:
            return f"{self.before} on both sides, row by row the same"
        left = self.differences.unexplained
        return (
            f"before {self.before}; after {self.after}; {counted(self.differences.differences, 'row')} differ,"
            f" {left or 'none'} of them without an entry in the change log"
        )

    @property
    def facts(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def compare_sides(
    session: Session, source: Source, target: sql.Composable, target_oid: int, key: tuple[str, ...], log: sql.Composable
) -> Comparison:
    """Compare a source with a table in the snapshot under way."""
    hashable = not catalog.unhashable_columns(session, target_oid)
    before = fingerprint.take(session, source.query, source.columns, hashable=hashable)
    after = fingerprint.take(session, target, source.columns, hashable=hashable)
    found = fingerprint.differences(session, source.query, target, source.columns, key, log=log)
    return Comparison(before, after, found)


def comparison_statements(
    source: Source, target: sql.Composable, key: tuple[str, ...], log: sql.Composable, *, hashable: bool
) -> list[sql.Composable]:
    """Return the queries of a comparison, as `compare_sides` runs them."""
    return [
        fingerprint.fingerprint_query(source.query, source.columns, hashable=hashable),
        fingerprint.fingerprint_query(target, source.columns, hashable=hashable),
        fingerprint.differences_query(source.query, target, source.columns, key, log=log),
    ]


def compare_parked(session: Session, state: PairState, *, in_transaction: bool = False) -> Comparison:
    """Compare the old table with the parked one: `before` is what the new table held at the cut-over."""
    pair, old = state.pair, state.old_table
    source, target = parked_sides(session, state)

    def comparison() -> Comparison:
        return compare_sides(session, source, target, old.oid, pair.key, private(pair.change_log))

    if in_transaction:
        return comparison()
    with comparing(session, state):
        return comparison()


def parked_sides(session: Session, state: PairState) -> tuple[Source, sql.Identifier]:
    """Return what is compared while a pair is cut over: the parked rows in the old table's columns, the old table."""
    old = state.old_table
    superseded = state.private_old if state.private_old and state.private_old.is_table else None
    return back_source(session, state.pair, old, state.parked, superseded), ident(old.schema, old.name)


@contextmanager
def comparing(session: Session, state: PairState) -> Iterator[Session]:
    """A snapshot in which the old table and the parked one can be compared."""
    old = state.old_table
    lock = engine("lock_for_read", tables=ident(old.schema, old.name))
    path = (old.schema, "extensions")
    with session.transaction(snapshot=True, read_only=True, first=lock, search_path=path, settings=COMPARE_SETTINGS):
        yield session
