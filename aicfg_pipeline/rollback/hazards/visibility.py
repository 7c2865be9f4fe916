"""Hazards of visibility: who sees or may change other rows once the old table is back, tried before anything is touched.

What the grants change is `access`'s; here it is what the policies make of the rows that there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, PairState
from aicfg_pipeline.rollback.tables import personas
from aicfg_pipeline.rollback.tables.personas import NO_USER, Foretold, direction, foretell
from aicfg_pipeline.spec.model import Pair

CODE = "visibility_changes"


def find(subject: Subject) -> Iterator[Hazard]:
    """Try every persona on every pair that would be rolled back."""
    for state in subject.look.in_state(*TO_ROLL_BACK):
        if state.new_table.is_owner and not state.new_table.hides_rows:
            yield from of_pair(subject, state)


def of_pair(subject: Subject, state: PairState) -> Iterator[Hazard]:
    """Try every persona on one pair."""
    try:
        foretold = foretell(subject.session, subject.migration, state)
    except DatabaseError as error:
        yield _unknown(state.pair, error)
        return
    yield from of_foretold(state.pair, foretold)


def of_foretold(pair: Pair, foretold: list[Foretold]) -> Iterator[Hazard]:
    """Return what was foretold of a pair as hazards."""
    for seen in foretold:
        if not seen.tried:
            yield from _not_tried(pair, seen)
        elif seen.by_policies and seen.changes():
            yield _changes(pair, seen)


_WORDS = {"sees": ("sees", "will see", "seen"), "updates": ("may update", "will update", "updatable")}


def _changes(pair: Pair, seen: Foretold) -> Hazard:
    told, directions = [], set()
    for kind, before, after in seen.changes():
        today, then, count = _WORDS[kind]
        directions.add("widened" if direction(before, after) > 0 else "narrowed")
        told.append(
            f"{today} {before} of the rows of {pair.new} today ({seen.today[count]:,} of {seen.today['rows']:,}) and"
            f" {then} {after} of them in {pair.old} ({seen.then[count]:,})"
        )
    tried = seen.today["rows"]
    most = f" The same {tried:,} rows of each were tried." if tried >= personas.MOST_ROWS else ""
    change = " and ".join(sorted(directions))
    return Hazard(
        CODE,
        f"{seen.persona.name} ({seen.persona.role}) {'; '.join(told)}.{most}",
        f"Compare the policies of {pair.new} with the block row_level_security of {pair.old_ddl.path}, and mend the one that"
        f" is wrong. Or accept it: what is {change} stays so after the rollback.",
        pair.old,
        {
            "persona": seen.persona.name,
            "role": seen.persona.role,
            "change": change,
            "shares": {kind: [before, after] for kind, before, after in seen.changes()},
            "rows": {"tried": seen.today["rows"], "today": seen.today["seen"], "then": seen.then["seen"]},
        },
    )


def _not_tried(pair: Pair, seen: Foretold) -> Iterator[Hazard]:
    """One side could be tried and the other could not: that is a change. Neither: it is told, and blocks nothing."""
    reasons = {str(s["because"]) for s in (seen.today, seen.then) if not s["tried"]}
    if reasons == {NO_USER}:
        return
    both = not (seen.today["tried"] or seen.then["tried"])
    where = "either table" if both else pair.new if seen.then["tried"] else pair.old
    yield Hazard(
        "persona_not_tried" if both else CODE,
        f"What {seen.persona.name} ({seen.persona.role}) will see can't be told: the query fails on {where}:"
        f" {'; '.join(sorted(reasons))}.",
        "Mend what the server names, or the persona in migration.yaml.",
        pair.old,
        {"persona": seen.persona.name, "role": seen.persona.role},
    )


def _unknown(pair: Pair, error: DatabaseError) -> Hazard:
    return Hazard(
        CODE,
        f"Who will see which rows of {pair.old} can't be tried: {error.found}",
        f"Mend {pair.old_ddl.path}, or what the server names. Or accept it: nobody knows then.",
        pair.old,
    )
