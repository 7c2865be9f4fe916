"""What is known of a prepared shadow: since when, how far behind, and when it was last proven.

Making it is `copy_back`'s, proving it is `compare`'s, keeping it up to date is the job `prepare`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.ledger import Entry, Ledger
from aicfg_pipeline.rollback.state import PairState, State, prepared_by
from aicfg_pipeline.rollback.tables.shadows import why_stale
from aicfg_pipeline.spec.model import Migration

PROOF_MINUTES = 60
"""A comparison that is older has to be made again: nobody has looked at the shadow since."""

PREPARE_DAYS = 7
"""A shadow that waits for longer is told: it costs storage, and every writer a trigger."""


@dataclass(frozen=True)
class Preparation:
    """One prepared pair. `behind` counts entries of the change log that are not replayed yet.

    `proven_at` is None where the newest comparison has not proven the shadow; `void` says why it can't be gone on with.
    """

    old: str
    since: datetime
    proven_at: datetime | None
    behind: int
    void: str | None = None

    @property
    def proof_is_stale(self) -> bool:
        """Nobody has compared the shadow with its live table for an hour."""
        return self.proven_at is None or minutes_since(self.proven_at) >= PROOF_MINUTES

    @property
    def waits_too_long(self) -> bool:
        """It has waited for the switch for more than a week."""
        return datetime.now(UTC) - self.since > timedelta(days=PREPARE_DAYS)

    def __str__(self) -> str:
        since = f"prepared since {self.since:%Y-%m-%d %H:%M} UTC"
        if self.void:
            return f"{since}, but not usable any more: {self.void}. prepare and rollback make it anew"
        entries = counted(self.behind, "entry", "entries")
        if self.proven_at is None:
            return f"{since}, {entries} behind; the last comparison has not proven it"
        stale = "; the verification is stale" if self.proof_is_stale else ""
        return f"{since}, {entries} behind, last proven {self.proven_at:%Y-%m-%d %H:%M} UTC{stale}"


def preparation(session: Session, migration: Migration, book: Ledger, state: PairState) -> Preparation | None:
    """Return how well a pair is prepared, or None where it is not."""
    if state.state != State.PREPARED or state.shadow is None:
        return None
    since, proof = prepared_by(book, state.pair, state.shadow), last_proof(book, state)
    assert since is not None
    void = why_stale(session, migration, book, state)
    behind = 0 if void else _behind(session, state)  # of a log that may be gone, or has a gap, a count says nothing
    return Preparation(state.pair.old, since.at, proof.at if proof else None, behind, void)


def _behind(session: Session, state: PairState) -> int:
    with session.transaction(read_only=True):
        return int(session.scalar(engine("entries_behind", log=private(state.pair.change_log))))


def last_proof(book: Ledger, state: PairState) -> Entry | None:
    """Return the newest comparison of this very shadow, if it has proven it."""
    assert state.shadow is not None
    rows = [e for e in book.entries if e.step == "compare" and e.pair == state.pair.old and e.outcome != "relied_on"]
    last = rows[-1] if rows else None
    usable = last is not None and last.outcome == "proven" and last.facts.get("shadow_oid") == state.shadow.oid
    return last if usable else None


def fresh_proof(book: Ledger, state: PairState) -> Entry | None:
    """Return the proof of a prepared shadow that a rollback may rely on, or None.

    What was written since is in the change log: replaying it is all that is left to do.
    """
    if state.state != State.PREPARED:
        return None
    proof = last_proof(book, state)
    return proof if proof and minutes_since(proof.at) < PROOF_MINUTES else None


def minutes_since(moment: datetime) -> float:
    """Return how many minutes ago a moment of the ledger was."""
    return (datetime.now(UTC) - moment).total_seconds() / 60
