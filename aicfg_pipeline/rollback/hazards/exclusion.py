"""Hazards of exclusion constraints: rows of the new table that the old one would not hold beside each other.

Which rows exclude each other only the constraint's own index can tell in reasonable time. So the rows are tried: copied
into a scratch table with that constraint and no other, in the transaction that is rolled back. Tables without one are
not copied.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.equality import keys_equal
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, engine, ident, text
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.hazards.hazard import Hazard
from aicfg_pipeline.rollback.tables.counting import tally
from aicfg_pipeline.rollback.tables.mapping import Source
from aicfg_pipeline.spec.model import Pair


def find(session: Session, pair: Pair, source: Source, old: Relation) -> Iterator[Hazard]:
    """Try the rows against each exclusion constraint of `old`, the scratch table."""
    for number, constraint in enumerate(session.all(engine("exclusions"), {"oid": old.oid})):
        name = f"aicfg_rollback_trial_{number}"
        trial, again = (
            ident(old.schema, name),
            {"constraint": ident(f"{name}_x"), "definition": text(constraint.definition)},
        )
        try:
            with session.savepoint():
                session.execute(engine("exclusion_trial", trial=trial, source=source.query))
                session.execute(engine("add_constraint", table=trial, **again))
                found = _refused(session, pair, source, trial, constraint.name)
        except DatabaseError as error:
            yield Hazard(
                "violates_exclusion",
                f"Whether rows of {pair.new} break {constraint.name} of {pair.old} can't be told: {error.found}",
                f"Mend {pair.old_ddl.path}, or the expressions in migration.yaml.",
                pair.old,
                {"rule": constraint.name, "rows": None, "keys": []},
            )
            continue
        if found is not None:
            yield found


def _refused(session: Session, pair: Pair, source: Source, trial: sql.Identifier, name: str) -> Hazard | None:
    total = tally(session, source.query, [text("true")])[0]
    refused = total - session.execute(engine("exclusion_rows", trial=trial, source=source.query)).rowcount
    if refused <= 0:
        return None
    equal = keys_equal(pair.key, "source", "trial")
    keys = engine("excluded_keys", keys=columns(pair.key, "source"), source=source.query, trial=trial, keys_equal=equal)
    shown = [r.key for r in session.all(keys)]
    return Hazard(
        "violates_exclusion",
        f"{counted(refused, 'row')} of {pair.new} can't stand beside others in {pair.old} ({name}), for example"
        f" {', '.join(str(k) for k in shown)}.",
        "Correct these rows in the new table first; the old table would refuse them.",
        pair.old,
        {"rule": name, "rows": refused, "keys": shown},
    )
