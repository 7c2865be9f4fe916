"""What of a pair is parked, and until when; and how it makes way where others have migrated again meanwhile.

Dropping it is `drop`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from psycopg import sql

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.rollback.tables.aside import set_aside
from aicfg_pipeline.rollback.work import Work

SET_ASIDE = "set_aside"
"""The step under which the ledger knows by which names the tables of an earlier rollback are kept."""


def retained_until(book: Ledger, old: str) -> datetime | None:
    """Return until when a pair's parked table is kept, as the cut-over recorded it."""
    entry = book.last("cut_over", pair=old, outcome="done")
    return datetime.fromisoformat(entry.facts["retain_until"]) if entry and "retain_until" in entry.facts else None


def still_retained(book: Ledger, states: Iterable[PairState]) -> dict[str, datetime]:
    """Return those pairs, by old table, whose parked table is kept for a while yet, and until when."""
    ends = {s.pair.old: retained_until(book, s.pair.old) for s in states}
    return {old: until for old, until in ends.items() if until and until > datetime.now(UTC)}


def parked_relations(session: Session, book: Ledger, state: PairState) -> list[Relation]:
    """Return what of a pair is in the private schema, besides its log; what depends before what is depended on.

    With what earlier undos and migrations have kept: rows of coexisting tables, and tables that others refer to or that
    have what is nowhere else.
    """
    entries = [e for e in book.entries if e.step in ("undo", "migrate", SET_ASIDE) and e.pair == state.pair.old]
    kept = [(session.private_schema, str(name)) for e in entries for name in e.facts.get("kept", ())]
    parked = [r for r in (state.private_old, state.private_new) if r is not None]
    return [*parked, *sorted(catalog.relations(session, kept).values(), key=lambda r: r.is_table)]


@dataclass(frozen=True)
class SettingAside:
    """How what an earlier rollback has parked makes way, and under which names it is kept then."""

    work: Work
    kept: tuple[str, ...]


def setting_aside(session: Session, state: PairState) -> SettingAside:
    """Return how the tables parked earlier are set aside: all of their rows stay, the next drop exports and drops them."""
    statements: list[sql.Composable] = []
    kept = []
    for relation in (state.private_old, state.private_new):
        if relation is not None:
            name, renaming = set_aside(session, relation)
            kept.append(name)
            statements += renaming
    does = "what an earlier rollback has parked makes way: others have migrated again since"
    return SettingAside(Work(SET_ASIDE, state.pair.old, does, then=statements, outcome="done"), tuple(kept))


def without_parked(state: PairState) -> PairState:
    """Return what a pair is once its earlier parked tables are set aside."""
    return replace(state, state=state.untouched, private_old=None, private_new=None)
