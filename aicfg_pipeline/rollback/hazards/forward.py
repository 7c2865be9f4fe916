"""What stands in the way of going forward again: values of the old tables that the new ones have no place for.

The new tables are made from their files in a transaction that is rolled back. The rows are not locked here; `migrate`
looks once more under its lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.hazards import along, beside, columns, types
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.tables.along import along_forward
from aicfg_pipeline.rollback.tables.dependents import find_others
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.rollback.tables.sources import Way, forth_way

FROM = (State.NEVER_MIGRATED, State.ROLLED_BACK)


def find(subject: Subject) -> Iterator[Hazard]:
    """Look at every pair that would go forward."""
    states = subject.look.in_state(*FROM)
    ours = [s.old_table.oid for s in states]
    for state in states:
        pair, found = state.pair, [*beside.in_use(subject, state, [state.old_table])]
        if pair.in_place:
            yield Hazard(
                "not_instant",
                f"{pair.old}: old and new are one table; the job migrate makes new tables, and renames no columns.",
                "Rename the columns with your own statements: ALTER TABLE … RENAME COLUMN.",
                pair.old,
            )
            continue
        try:
            with scratch_table(subject.session, subject.migration, pair.new_ddl, pair.new, "indexes") as new:
                way = forth_way(subject.session, pair, state.old_table, new)
                found += [*of_rows(subject.session, way), *of_others(subject.session, way, ours)]
        except DatabaseError as error:
            found.append(
                Hazard(
                    "type_mismatch",
                    f"The rows of {pair.old} can't be read as rows of {pair.new}: {error.found}",
                    f"Mend {pair.new_ddl.path}, the expressions in migration.yaml, or the value that the server names.",
                    pair.old,
                )
            )
        yield from found


def of_rows(session: Session, way: Way) -> Iterator[Hazard]:
    """Look at the rows of one old table on their way into a new one, which need not have its indexes yet."""
    yield from columns.of_way(session, way)
    yield from types.of_way(session, way)


def of_others(session: Session, way: Way, ours: Sequence[int]) -> Iterator[Hazard]:
    """Look at what of others refers to one old table, and goes to a new one that has its indexes. `ours` all go with it."""
    others = along_forward(session, Ledger(), way, ours)
    yield from along.told(session, others, "an old table", "the one that is kept aside")
    for key in others.carried.keys:
        yield Hazard(
            "dependents",
            f"The foreign key {key.label} goes along. Until the rows of {way.source.name} are moved, nobody can use"
            f" {key.schema}.{key.table} either.",
            "Accept it, at a time when that may be. Or take the key off before, and put it on again afterwards.",
            way.pair.old,
            {"kind": "foreign key", "name": key.label, "recreate": key.definition},
        )
    for dependent in along.of_others(find_others(session, way.source.oid, ours), [way.source]):
        yield Hazard(
            "dependents",
            f"The {dependent.kind} {dependent.name} refers to the old table, which is dropped or kept aside.",
            "Drop it before, and make it again on the new names afterwards. It was made by: "
            + " ".join(str(dependent.recreate).split()),
            way.pair.old,
            {"kind": dependent.kind, "name": dependent.name, "recreate": dependent.recreate},
        )
