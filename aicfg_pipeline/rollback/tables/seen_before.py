"""Who saw what of a new table, looked at while preparing, so that the switch need not count millions of rows again.

It holds for as long as the proof does, while nothing that decides who sees what has changed in the catalog, and while the same
personas see the same share of the rows that are tried on both tables. Trying is `personas`'s, gating the steps'.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from aicfg_pipeline.errors import ConnectionLostError, DatabaseError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, text
from aicfg_pipeline.rollback.ledger import Entry, Ledger
from aicfg_pipeline.rollback.state import PREPARED_BY, PairState
from aicfg_pipeline.rollback.tables import personas
from aicfg_pipeline.rollback.tables.personas import Foretold, Seen
from aicfg_pipeline.rollback.tables.preparation import PROOF_MINUTES, minutes_since
from aicfg_pipeline.spec.model import Migration, Persona

DECIDED_BY = "visible_rows_decided_by"
"""Under this name the ledger has the hash of what decides who sees what."""

SEEN_BY = "visible_rows_seen_by"
"""And under this one the run whose look a switch has relied on, and when that was."""

SHARES = ("tried", "privileges", "sees", "updates")


def to_be_relied_on(session: Session, migration: Migration, state: PairState) -> dict[str, Any]:
    """Return what the ledger keeps of a look at who sees what, for the switch."""
    decided = decided_by(session, migration, state)
    return {
        DECIDED_BY: decided,
        personas.FACT: personas.visible_rows_facts(session, migration, state.new_table),
        personas.FORETOLD: personas.as_fact(personas.foretell(session, migration, state)),
    }


def who_saw_what(
    session: Session, migration: Migration, book: Ledger, state: PairState, foretold: Sequence[Foretold]
) -> dict[str, Any]:
    """Return who sees what of the new table as facts: of a preparation that still holds, or looked at now."""
    before = _of_the_preparation(book, state)
    if before and _still_so(before, decided_by(session, migration, state), foretold):
        seen_by = {"run": before.run_id, "at": before.at.isoformat()}
        return {personas.FACT: before.facts[personas.FACT], SEEN_BY: seen_by}
    return {personas.FACT: personas.visible_rows_facts(session, migration, state.new_table)}


def _of_the_preparation(book: Ledger, state: PairState) -> Entry | None:
    rows = [e for e in book.entries if e.pair == state.pair.old and (e.step, e.outcome) == PREPARED_BY]
    last = rows[-1] if rows else None
    if last is None or state.shadow is None or last.facts.get("shadow_oid") != state.shadow.oid:
        return None
    return last if DECIDED_BY in last.facts and minutes_since(last.at) < PROOF_MINUTES else None


def _still_so(before: Entry, decided: str, foretold: Sequence[Foretold]) -> bool:
    """Say whether nothing has changed in the catalog, and the rows that are tried are seen by the same people as then."""
    then: Mapping[str, Mapping[str, Seen]] = before.facts[personas.FORETOLD]
    return decided == before.facts[DECIDED_BY] and {n: _shares(s["today"]) for n, s in then.items()} == {
        f.persona.name: _shares(f.today) for f in foretold
    }


def _shares(seen: Seen) -> dict[str, Any]:
    return {name: seen.get(name) for name in SHARES}


def decided_by(session: Session, migration: Migration, state: PairState) -> str:
    """Return a hash over policies, rights, roles and functions, and over whom each persona's claim stands for."""
    asked = {"oid": state.new_table.oid, "roles": [p.role for p in migration.personas]}
    path = (migration.schema, "extensions")
    with session.transaction(snapshot=True, read_only=True, search_path=path):
        lines = [str(r.line) for r in session.all(engine("what_decides_who_sees"), asked)]
        lines += [f"persona {p!r} {_claimed(session, p)!r}" for p in migration.personas]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _claimed(session: Session, persona: Persona) -> object:
    if not persona.claim:
        return None
    try:
        with session.savepoint():
            return session.scalar(text(persona.claim))
    except ConnectionLostError:
        raise
    except DatabaseError as error:  # whoever tries it is told the same
        return " ".join(error.found.split())
