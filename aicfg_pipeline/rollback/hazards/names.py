"""Names that the swap will need: the old table's indexes, sequences and types in the schema, the new table's in the private one.

What leaves the schema goes first, so the table that is being replaced is never in the way of its own old names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback.hazards import beside, rights
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, PairState
from aicfg_pipeline.rollback.tables.grants import functions_there
from aicfg_pipeline.rollback.tables.scratch import scratch_tables
from aicfg_pipeline.rollback.tables.swap import SWAP
from aicfg_pipeline.spec.ddl import trigger_functions


def find(subject: Subject) -> Iterator[Hazard]:
    """Compare every name that will be needed with what will be there once that has left which leaves."""
    states = subject.look.in_state(*TO_ROLL_BACK)
    if not states:
        return
    session, schema = subject.session, subject.migration.schema
    if session.scalar(engine("swap_schema_exists"), {"schema": SWAP}):
        yield Hazard(
            "name_taken",
            f"A schema {SWAP} exists. The swap makes and drops one of that name inside its transaction.",
            f"Look at what is in it and whose it is; then rename it: ALTER SCHEMA {SWAP} RENAME TO …",
        )
    for state in states:
        yield from beside.in_use(subject, state, state.live_tables)
        yield from _functions_of_others(session, subject, state)
    public = [r for s in states for r in (s.at_old_name, s.at_new_name) if r is not None]
    shadows = [s.shadow for s in states if s.shadow is not None]
    to_make = {s.pair.old: s.pair.old_ddl for s in states if s.shadow is None}
    with scratch_tables(session, subject.migration, to_make, "indexes") as made:
        coming = _carried(session, [*made.values(), *shadows])
        yet_to_be = _carried(session, list(made.values()))
    yield from _taken(session, schema, coming, leaving=public)
    yield from _taken(session, session.private_schema, [*_carried(session, public), *yet_to_be], leaving=shadows)


def _carried(session: Session, relations: Sequence[Relation]) -> list[Any]:
    return session.all(engine("names_carried"), {"oids": [r.oid for r in relations]})


def _taken(session: Session, schema: str, needed: Sequence[Any], leaving: Sequence[Relation]) -> Iterator[Hazard]:
    given = {
        "schema": schema,
        "spaces": [n.space for n in needed],
        "names": [n.name for n in needed],
        "leaving": [r.oid for r in leaving],
    }
    told: set[str] = set()
    for row in session.all(engine("names_taken"), given):
        if row.name in told:
            continue  # a table and its row type are one thing
        told.add(row.name)
        yield Hazard(
            "name_taken",
            f"The name {row.name} will be needed in the schema {schema}, and {row.who} has it.",
            f"Rename that, for example: {row.rename}",
            facts={"name": row.name, "schema": schema, "by": row.who},
        )


def _functions_of_others(session: Session, subject: Subject, state: PairState) -> Iterator[Hazard]:
    for found in functions_there(session, dict(trigger_functions(state.pair, subject.migration.schema))):
        if not found.replaceable:
            yield Hazard(
                "not_owner",
                f"The trigger function {found.schema}.{found.name}() belongs to {found.owner}, and this role is not a"
                f" member of it; {state.pair.old_ddl.path} replaces it.",
                f"Connect as {found.owner}, or: {rights.grant_owner(session, found.owner)}",
                state.pair.old,
            )
