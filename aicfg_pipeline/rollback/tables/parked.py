"""What of a pair is parked, and until when. Dropping it is `drop`'s."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA


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
    entries = [e for e in book.entries if e.step in ("undo", "migrate") and e.pair == state.pair.old]
    kept = [(PRIVATE_SCHEMA, str(name)) for e in entries for name in e.facts.get("kept", ())]
    parked = [r for r in (state.private_old, state.private_new) if r is not None]
    return [*parked, *catalog.relations(session, kept).values()]
