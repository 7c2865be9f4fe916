"""Other migrations in the same database: what of theirs is on our tables, and which of them has to go back first.

Two renames in a row share a table: the new one of the first is the old one of the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import PairState, State
from aicfg_pipeline.rollback.whose import Other, others_in


def in_use(subject: Subject, state: PairState, tables: Sequence[Relation]) -> Iterator[Hazard]:
    """Look for change logs of other migrations on tables that are about to change hands: they would be torn from them."""
    ours = (subject.session.private_schema, state.pair.change_log)
    for relation in tables:
        for schema, function in sorted(catalog.change_logs_on(subject.session, relation.oid) - {ours}):
            whose = _named(subject, schema)
            yield Hazard(
                "in_use_elsewhere",
                f"{relation} is in the hands of {whose}, which is not done with it: its writes go into {schema}.{function}.",
                f"Let {whose} be done with it first: with its job drop_new_tables (or undo_rollback) where it is rolled"
                " back, with abandon where it is being prepared.",
                state.pair.old,
                {"change_log": function, "migration": whose},
            )


def _named(subject: Subject, schema: str) -> str:
    """Return what a person calls the migration that keeps its things in a schema."""
    name = next((o.name for o in others_in(subject.look.ledger.others).values() if o.place == schema), None)
    return f"the migration {name}" if name else "another migration"


def later(subject: Subject, state: PairState) -> Other | None:
    """Return the migration that has renamed our new table once more, as the ledger has it, or None."""
    for other in others_in(subject.look.ledger.others).values():
        if state.pair.new in other.pairs and other.schema == subject.migration.schema:
            return other
    return None


def find(subject: Subject) -> Iterator[Hazard]:
    """Look for pairs whose new table has been renamed once more: that has to be taken back first."""
    for state in subject.look.in_state(State.MISSING):
        there = state.at_new_name
        other = later(subject, state)
        if other is not None:
            new = other.pairs[state.pair.new]
            yield Hazard(
                "renamed_again",
                f"{state.pair.new} has been renamed once more, to {new}, by the migration {other.name}, which stands.",
                f"Roll {other.name} back first: launch its job rollback, and drop_new_tables when that has been verified.",
                state.pair.old,
                {"migration": other.name, "new": new},
            )
        elif there is not None and there.is_view:
            behind = ", ".join(catalog.tables_behind(subject.session, there.oid))
            yield Hazard(
                "renamed_again",
                f"{there} is a view now, over {behind}: a later migration has renamed it once more, and stands.",
                "Roll that migration back first. The ledger of this database does not know it by name yet.",
                state.pair.old,
                {"tables": behind},
            )
