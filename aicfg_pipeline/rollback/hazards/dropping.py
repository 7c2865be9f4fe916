"""What stands in the way of letting the parked tables go: their retention, and who still refers to them."""

from __future__ import annotations

from collections.abc import Iterator

from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import UNDOABLE
from aicfg_pipeline.rollback.tables.dependents import find_dependents
from aicfg_pipeline.rollback.tables.parked import parked_relations, still_retained


def find(subject: Subject) -> Iterator[Hazard]:
    """Look at all that a drop of every pair that is cut over would meet."""
    states, book = subject.look.in_state(*UNDOABLE), subject.look.ledger
    for old, until in ({} if subject.settings.before_retention_ends else still_retained(book, states)).items():
        yield Hazard(
            "retained",
            f"{subject.migration.pair(old).new} is kept until {until:%Y-%m-%d %H:%M:%S} UTC.",
            "Wait, or set before_retention_ends: true. Undo is possible only while the tables are parked.",
            old,
        )
    oids = [r.oid for s in states for r in parked_relations(subject.session, book, s)]
    for found in find_dependents(subject.session, oids) if oids else ():
        yield Hazard(
            "parked_in_use",
            f"The {found.kind} {found.name} refers to a parked table or view, and reads stale rows.",
            "Point it at the old table or drop it before.",
            facts={"kind": found.kind, "name": found.name},
        )
