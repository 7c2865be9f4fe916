"""What stands in the way of an undo. The plan and the undo itself tell it before anything is touched.

A log can't be trusted, a pair can't come along, something refers to the old tables only since the
cut-over, or somebody may use them only since.
"""

from __future__ import annotations

from collections.abc import Iterator

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.equality import keys_equal
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.rollback.hazards import access, along, columns, types
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import UNRECORDED, Look, PairState, State
from aicfg_pipeline.rollback.tables import change_log, foreign_keys
from aicfg_pipeline.rollback.tables.retired import still_pointing
from aicfg_pipeline.rollback.tables.sources import Way, forth_way


def find(subject: Subject) -> Iterator[Hazard]:
    """Look at all that an undo of every pair that is cut over would meet."""
    states = subject.look.in_state(State.CUT_OVER)
    yield from _in_part(subject.look, states)
    for state in states:
        yield from _unrecorded(subject.look, state)
        yield from _lost_keys(subject.session, subject.look, state)
        yield from _log(subject.session, state)
        yield from _pointing_at_parked(subject.session, state)
        yield from _nothing_at_old_name(subject.look, state)
        yield from of_columns(subject, state)
        yield from access.lost_by_undo(subject.session, subject.migration, state)
    yield from _dependents(subject.session, states)
    yield from along.forth(subject)


def of_columns(subject: Subject, state: PairState) -> Iterator[Hazard]:
    """Columns of the old table that have no place in the parked one, values that would change, rows that can't go."""
    path = (subject.migration.schema, "extensions")
    found: list[Hazard] = []
    with subject.session.transaction(read_only=True, search_path=path) as session:
        way = forth_way(session, state.pair, state.old_table, state.parked)
        # a row that was parked has its own values; only one that has come since needs one
        found += columns.of_way(session, way, filled=() if _has_added_rows(session, way) else way.mapping.unfilled)
        found += types.of_way(session, way)
    yield from found


def _has_added_rows(session: Session, way: Way) -> bool:
    wanted = [c for c in way.wanted if c.name in way.mapping.unfilled and c.not_null and not c.has_default]
    if not wanted:
        return False
    added = engine(
        "added_rows",
        source=way.table,
        target=ident(way.target.schema, way.target.name),
        keys_equal=keys_equal(way.pair.key, "source", "target"),
    )
    return bool(session.scalar(added))


def _in_part(look: Look, states: tuple[PairState, ...]) -> Iterator[Hazard]:
    """Code of neither age fits a database in which half of the tables have their new names."""
    for state in look.in_state(State.ROLLED_BACK) if states else ():
        yield Hazard(
            "undo_in_part",
            f"{state.pair.old} can't be undone: its parked table is gone ({state.because}). The other pairs would have"
            f" their new names, and {state.pair.old} its old one.",
            "Leave all of them rolled back; or accept it, and bring this pair forward with the job migrate.",
            state.pair.old,
        )


def _unrecorded(look: Look, state: PairState) -> Iterator[Hazard]:
    """Without the cut-over's row nobody knows what was taken off the parked table, and until when it is kept."""
    if look.ledger.last("cut_over", pair=state.pair.old, outcome="done") is None:
        yield _not_undoable(
            state.pair.old,
            f"{state.pair.old}: {UNRECORDED.format(parked=state.parked)}",
            "Bring the ledger's rows back from a backup; they also have the parked table's foreign keys.",
        )


def _lost_keys(session: Session, look: Look, state: PairState) -> Iterator[Hazard]:
    """A foreign key that the new table had at the cut-over has to be on the parked table or in the ledger."""
    swap = look.ledger.last("cut_over", pair=state.pair.old, outcome="done")
    made = swap.facts.get("remembered", {}).get("new_table", {}) if swap else {}
    before = {name.removeprefix("foreign key ") for name in made if name.startswith("foreign key ")}
    known = {str(k["name"]) for k in foreign_keys.taken_off(look.ledger, state.pair, state.parked)}
    known |= {k.name for k in catalog.foreign_keys(session, state.parked.oid)}
    for name in sorted(before - known):
        yield _not_undoable(
            state.pair.old,
            f"{state.pair.old}: {state.pair.new} had the foreign key {name} at the cut-over; it is neither on the parked"
            " table nor in the ledger, so an undo would bring the table back without it.",
            f"Put it on {state.parked} again (its definition is in {state.pair.new_ddl.path}), or bring the ledger's row back.",
        )


def _log(session: Session, state: PairState) -> Iterator[Hazard]:
    """Without the log nobody knows what was written since the cut-over."""
    old = state.pair.old
    mend = "What was written since can't be told. Roll forward with migrate once the parked table is dropped."
    if state.log is None:
        yield _not_undoable(
            old, f"{old}: its change log is gone, so what was written since the cut-over is not known.", mend
        )
        return
    triggers = catalog.our_triggers(session, state.old_table.oid)
    for trigger in change_log.TRIGGERS:
        if triggers.get(trigger) != "A":
            found = (
                f"{old}: the trigger {trigger} of the change log is gone or disabled, so writes may be missing from it."
            )
            yield _not_undoable(old, found, mend)


def _pointing_at_parked(session: Session, state: PairState) -> Iterator[Hazard]:
    """A replay into the parked table would cascade into tables of others."""
    old = state.pair.old
    for key in session.all(engine("foreign_keys_to"), {"oid": state.parked.oid}):
        yield _not_undoable(
            old,
            f"{old}: foreign key {key.name} of {key.table} refers to the parked table; replaying would reach into"
            f" {key.table}.",
            "Take it off, and put it on again after the undo.",
        )


def _nothing_at_old_name(look: Look, state: PairState) -> Iterator[Hazard]:
    """Where both tables stood side by side, only a view of the file can take the old one's name."""
    swap = look.ledger.last("cut_over", pair=state.pair.old, outcome="done")
    if swap and swap.facts.get("superseded") and state.pair.view_ddl is None:
        yield Hazard(
            "old_name_goes",
            f"Before the rollback a table had the name {state.pair.old}, beside {state.pair.new}. After the undo nothing has it:"
            f" the rows are in {state.pair.new}, the table of before is kept in the private schema, and migration.yaml names"
            " no view (view_sql). Code that uses the old name will fail.",
            "Name a view's file in migration.yaml; or accept it.",
            state.pair.old,
        )


def _not_undoable(old: str, found: str, remedy: str) -> Hazard:
    return Hazard("not_undoable", found, remedy, old)


_STAYS = "refers to the old table; after the undo it would go on reading the retired one, which then is kept for it."
_REMEDY = (
    "Point it elsewhere or drop it before; or accept it, and point it at the new names afterwards. It was made by: "
)


def _dependents(session: Session, states: tuple[PairState, ...]) -> Iterator[Hazard]:
    ours = [s.old_table.oid for s in states]
    for state in states:
        for found in along.of_others(still_pointing(session, state.old_table.oid, ours), [state.old_table]):
            yield Hazard(
                "dependents",
                f"The {found.kind} {found.name} {_STAYS}",
                _REMEDY + " ".join(str(found.recreate).split()),
                state.pair.old,
                {"kind": found.kind, "name": found.name, "recreate": found.recreate},
            )
