"""What stands in the way of renaming tables in place: what was asked for and can't be, and what goes by the tables' names.

What only copying could do wrong (values that change, columns without a place, tables of others that would go on reading a
parked one) is none of it: whoever refers to a table by its number goes on referring to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from aicfg_pipeline.rollback.hazards import rows
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.hazards.surroundings import name_pattern
from aicfg_pipeline.rollback.tables.dependents import find_dependents
from aicfg_pipeline.rollback.tables.way import Decision, Renaming
from aicfg_pipeline.spec.ddl import trigger_names


def refused(subject: Subject, decision: Decision) -> Iterator[Hazard]:
    """Tell which pairs can't be renamed in place although that was asked for, with every reason."""
    for told in decision.told:
        in_place = subject.migration.pair(told.old).in_place
        if told.way == "copy" and (told.asked == "instant" or in_place):
            asked = (
                "old and new are one table, which is never copied" if in_place else "migration.yaml says way: instant"
            )
            mend = "" if in_place else ", or let it be copied (way: auto)"
            yield Hazard(
                "not_instant",
                f"{told.old} can't be renamed where it is, and {asked}: {'; '.join(told.why_not)}.",
                f"Mend what is named, in the table or in the old table's file{mend}.",
                told.old,
                {"why_not": list(told.why_not)},
            )


def find(subject: Subject, decision: Decision) -> Iterator[Hazard]:
    """Look at what goes by the names, at what is taken away, and at the rows that new constraints will be held against."""
    yield from _by_name(subject, decision)
    for renaming in decision.renamings.values():
        yield from _taken_away(renaming)
        if any(c.prove or c.ahead for c in renaming.changes):
            yield from rows.of_pair(subject, renaming.state)


def _by_name(subject: Subject, decision: Decision) -> Iterator[Hazard]:
    states = [r.state for r in decision.renamings.values()]
    renamed = [s for s in states if not s.pair.in_place]
    oids = [s.new_table.oid for s in states]
    with subject.session.transaction(read_only=True) as session:
        found = find_dependents(session, oids, [name_pattern(s.pair.new) for s in renamed])
    for kind, name, recreate in ((f.kind, f.name, f.recreate) for f in found):
        if kind in ("function", "subscription"):
            yield Hazard(
                "dependents",
                f"The {kind} {name} names a new table, which is called otherwise from the cut-over on.",
                "Have it use the old name after the rollback, or drop it before. To make it again: "
                + " ".join(str(recreate).split()),
                facts={"kind": kind, "name": name, "recreate": recreate},
            )


def _taken_away(renaming: Renaming) -> Iterator[Hazard]:
    pair = renaming.state.pair
    known = {*trigger_names(pair.new_ddl), *trigger_names(pair.old_ddl)}
    for change in renaming.changes:
        name = change.what.removeprefix("trigger ").removesuffix(" goes")
        if change.what == f"trigger {name} goes" and name not in known:
            yield Hazard(
                "dependents",
                f"The trigger {name} of {pair.new} is not made by the migration's files; it goes at the cut-over.",
                "Make it on the old table after the rollback if it is wanted there; an undo makes it again. It was: "
                + change.as_facts["back"][0],
                pair.old,
                {"kind": "trigger", "name": name},
            )
