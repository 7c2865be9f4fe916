"""The check of what an undo needs: the new table, parked or in use again, is what it was at the cut-over.

Its rows are compared by `data` and `rows` in the columns that both tables have; here it is the rest.
"""

from __future__ import annotations

from typing import Any

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.equality import keys_equal
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, engine, ident, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Verdict, check, failed, not_applicable, passed
from aicfg_pipeline.rollback.checks.facts import CatalogFacts, as_facts, as_plain, differences, from_plain, told
from aicfg_pipeline.rollback.checks.inspection import Inspection
from aicfg_pipeline.rollback.checks.security import watched_roles
from aicfg_pipeline.rollback.checks.structure import table_facts
from aicfg_pipeline.rollback.checks.surroundings import called, of_private_functions, remembered, sequence_facts
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, UNRECORDED, PairState, State
from aicfg_pipeline.rollback.tables.change import OURS as BESIDE
from aicfg_pipeline.rollback.tables.foreign_keys import last_swap
from aicfg_pipeline.spec.model import Migration, Pair

FACT = "new_table"
"""Under this name the ledger's row of a cut-over has what the new table was made of."""

OURS = tuple(f"{kind} {BESIDE}" for kind in ("index", "constraint"))
"""What is called so comes and goes, as the change log's function does: what is built beside for a swap."""


def new_table_facts(session: Session, migration: Migration, table: Relation) -> dict[str, Any]:
    """Return what a new table is made of, as plain values: structure, policies, privileges, sequences, functions."""
    return as_plain(_facts(session, migration, table))


def _facts(session: Session, migration: Migration, table: Relation) -> CatalogFacts:
    """Read what a table is made of; not what calls our change log, which comes and goes."""
    path = (table.schema, migration.schema, "extensions")
    given = {"oid": table.oid, "roles": watched_roles(migration)}
    with session.transaction(snapshot=True, read_only=True, search_path=path):
        facts = table_facts(session, table, [], ours=False)
        facts |= as_facts(session.all(engine("row_level_security_facts"), {"oid": table.oid}))
        facts |= as_facts(session.all(engine("grant_facts"), given))
    with session.transaction(snapshot=True, read_only=True):
        facts |= sequence_facts(session, table) | called(session, [table.oid])
    facts["table", "owner"] = table.owner
    return {k: v for k, v in facts.items() if not k[0].startswith((of_private_functions(session), *OURS))}


@check("new_table_kept", asset="new")
def new_table_kept(inspection: Inspection, pair: Pair) -> Verdict:
    """The new table, parked or in use again after an undo, is what it was at the cut-over."""
    state = inspection.state(pair)
    undone = _undone(inspection, state)
    table = state.private_new if state.state == State.CUT_OVER else state.at_new_name if undone else None
    if table is None:
        return not_applicable(f"No new table is kept for an undo, and none came back by one ({state.state}).")
    if not undone and inspection.ledger.last("cut_over", pair=pair.old, outcome="done") is None:
        return failed(UNRECORDED.format(parked=table))
    before = remembered(inspection, pair)
    if before is None or FACT not in before or before["new_oid"] != table.oid:
        return not_applicable("What the new table was made of was not remembered at the cut-over of this very table.")
    lines = _differing(inspection, table, from_plain(before[FACT]), parked=not undone)
    written = None if undone else _written(inspection, state)
    facts = {"differences": lines, "written_past_the_log": written or 0}
    if lines or written:
        what = [*([told(lines)] if lines else []), *([written] if written else [])]
        since = "at the cut-over that was undone" if undone else "at the cut-over"
        summary = f"{table} is not what it was {since}: {'; '.join(what)}."
        return failed(summary, facts, severity="WARN" if undone else None)
    where = "in use again" if undone else "parked"
    return passed(
        f"{table} is {where} and made of what it was at the cut-over ({counted(len(from_plain(before[FACT])), 'fact')}).",
        facts,
    )


def _undone(inspection: Inspection, state: PairState) -> bool:
    """Say whether the last that happened to the names was an undo."""
    if state.state not in TO_ROLL_BACK:
        return False
    last = last_swap(inspection.ledger, state.pair)
    return last is not None and last.step == "undo"


def _differing(
    inspection: Inspection, table: Relation, expected: CatalogFacts, *, parked: bool
) -> list[dict[str, str]]:
    found = _facts(inspection.session, inspection.migration, table)
    if parked:
        expected, found = _still(expected), _still(found)
    return differences(expected, found)


def _still(facts: CatalogFacts) -> CatalogFacts:
    """Leave out what is not to be seen at a parked table: foreign keys are taken off meanwhile, and the ledger has them.

    Functions are compared by the check `functions` as long as it is parked.
    """
    return {k: v for k, v in facts.items() if not k[0].startswith(("foreign key ", "function "))}


def _written(inspection: Inspection, state: PairState) -> str | None:
    """Say which parked rows someone has written since the swap, in any column; None where nobody has.

    An undo that has stopped half way may have mended references of rows that the log does not name.
    """
    pair, swap = state.pair, inspection.ledger.last("cut_over", pair=state.pair.old, outcome="done")
    if swap is None or state.log is None or "next_xid" not in swap.facts:
        return None
    query = engine(
        "written_while_parked",
        keys=columns(pair.key, "parked"),
        parked=ident(state.parked.schema, state.parked.name),
        log=private(pair.change_log),
        keys_equal=keys_equal(pair.key, "parked", "logged"),
    )
    with inspection.session.transaction(
        snapshot=True, read_only=True, search_path=(inspection.migration.schema, "extensions")
    ):
        row = inspection.session.one(query, {"next_xid": int(swap.facts["next_xid"])})
    mended = sum(
        int(e.facts.get("references_mended", 0) or 0)
        for e in inspection.ledger.entries
        if e.step == "undo" and e.pair == pair.old and e.id > swap.id
    )
    if row.rows <= mended:
        return None
    return f"{row.rows} parked rows were written since, and nothing in the change log explains it (keys {', '.join(row.keys)})"
