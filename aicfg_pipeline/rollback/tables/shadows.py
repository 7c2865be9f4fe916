"""Whether a shadow that is there can be gone on with: made from what is there now, and logged without a gap.

Making one, and taking it away, is `copy_back`'s.
"""

from __future__ import annotations

from typing import Any

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.rollback.tables import change_log, foreign_keys
from aicfg_pipeline.spec.model import Migration


def identity_of(session: Session, migration: Migration, state: PairState) -> dict[str, Any]:
    """Return what a shadow must have been made from to be trusted."""
    return {
        "old_ddl": state.pair.old_ddl.digest,
        "migration": migration.digest,
        "live": {
            r.name: [r.oid, [[c.name, c.type] for c in catalog.columns(session, r.oid)]] for r in state.live_tables
        },
    }


def why_stale(session: Session, migration: Migration, book: Ledger, state: PairState) -> str | None:
    """Say why a shadow that is there can't be trusted, or None."""
    assert state.shadow is not None
    made = book.last("copy_back", pair=state.pair.old, outcome="prepared")
    if made is None or made.facts.get("shadow_oid") != state.shadow.oid:
        return "the ledger does not know it"
    swap = foreign_keys.last_swap(book, state.pair)
    if swap is not None and swap.id > made.id:
        return "it was in use as the old table since, and is what an undo has left"
    if state.log is None:
        return "its change log is gone"
    if made.facts.get("identity") != identity_of(session, migration, state):
        return "the new table or the migration's files have changed since"
    live, made_as = (catalog.columns(session, r.oid) for r in (state.new_table, state.shadow))
    if not change_log.holds_keys_of(catalog.columns(session, state.log.oid), state.pair.key, live, made_as):
        return "its change log is an earlier version's, and may not hold every key"
    for relation in state.live_tables:
        triggers = catalog.our_triggers(session, relation.oid, state.pair.change_log)
        if any(triggers.get(t) != "A" for t in change_log.TRIGGERS):
            return f"the change log's triggers on {relation.name} are gone or disabled"
    return None
