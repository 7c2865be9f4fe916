"""When to roll back: what speaks for it, or against its being possible, while the database is migrated.

Everything here is a warning: it advises a person and never stops a run. Whether the rows still fit the old table is
the hazards' to find out; who sees what through the view is `visibility`'s.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Verdict, check, failed, not_applicable, passed
from aicfg_pipeline.rollback.checks.inspection import Inspection
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, WITH_SHADOW, State
from aicfg_pipeline.rollback.tables.ddl import SECURITY_INVOKER_SINCE
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.spec.model import Ddl, Pair

ADVISED = "A rollback is advised because"


def _view(inspection: Inspection, pair: Pair) -> Relation | None:
    state = inspection.state(pair)
    there = state.state in TO_ROLL_BACK and state.at_old_name is not None and state.at_old_name.is_view
    return state.at_old_name if there else None


def _no_view(inspection: Inspection, pair: Pair) -> Verdict:
    file = "" if pair.view_ddl else "; migration.yaml names no file of one"
    return not_applicable(f"There is no view to look at ({inspection.state(pair).state}{file}).")


@check("view_agrees", asset="view", severity="WARN")
def view_agrees(inspection: Inspection, pair: Pair) -> Verdict:
    """The view is a plain select of every column of the new table, so that both names show the same rows."""
    state, view = inspection.state(pair), _view(inspection, pair)
    nothing = state.state in (State.MIGRATED, State.MIGRATED_AGAIN, *WITH_SHADOW)
    if view is None and pair.view_ddl and nothing:
        return failed(f"{ADVISED} nothing has the old name {pair.old}: code that still uses it fails.")
    if view is None or pair.view_ddl is None:
        return _no_view(inspection, pair)
    return _agrees(inspection, pair, view, pair.view_ddl)


def _agrees(inspection: Inspection, pair: Pair, view: Relation, file: Ddl) -> Verdict:
    session, table = inspection.session, inspection.state(pair).new_table
    with scratch_table(session, inspection.migration, file, pair.old, "view") as made:
        expected = session.one(engine("view_definition"), {"oid": made.oid})
    with session.transaction(snapshot=True, read_only=True, search_path=(view.schema, "extensions")):
        found = session.one(engine("view_definition"), {"oid": view.oid})
        of_table = [c.name for c in catalog.columns(session, table.oid)]
        places = {"view": ident(view.schema, view.name), "table": ident(table.schema, table.name)}
        rows = session.one(engine("count_both", **places))
    facts: dict[str, Any] = {
        "definition": " ".join(found.definition.split()),
        "expected_definition": " ".join(expected.definition.split()),
        "view_rows": rows.view_rows,
        "table_rows": rows.table_rows,
        "columns_only_in_table": [c for c in of_table if c not in found.columns],
        "columns_only_in_view": [c for c in found.columns if c not in of_table],
    }
    if rows.view_rows != rows.table_rows:
        why = f"the view {pair.old} shows {counted(rows.view_rows, 'row')} and {pair.new} has {rows.table_rows:,}"
    elif facts["columns_only_in_table"] or facts["columns_only_in_view"]:
        why = f"the view {pair.old} does not have the columns of {pair.new}"
    elif found.definition != expected.definition:
        why = f"the view {pair.old} is not a plain select of every column of {pair.new}"
    else:
        return passed(f"The view shows every column and row of {pair.new}: {counted(rows.view_rows, 'row')}.", facts)
    return failed(f"{ADVISED} {why}.", facts)


@check("view_security", asset="view", severity="WARN")
def view_security(inspection: Inspection, pair: Pair) -> Verdict:
    """Readers of the view pass the row level security of the new table, where the server can do that."""
    view = _view(inspection, pair)
    if view is None:
        return _no_view(inspection, pair)
    if inspection.session.version < SECURITY_INVOKER_SINCE:
        return not_applicable(
            "This server can't make views read with their readers' rights (15 and later can);"
            " view_visible_rows tells who sees more than they should.",
        )
    with inspection.session.transaction(read_only=True):
        found = inspection.session.one(engine("view_definition"), {"oid": view.oid})
    if found.invoker:
        return passed("The view reads with the rights of whoever reads it.", {"owner": found.owner})
    summary = (
        f"{ADVISED} the view {pair.old} reads with the rights of {found.owner}, past the row level security of"
        f" {pair.new}."
        f" (Or at once: ALTER VIEW {pair.old} SET (security_invoker = true).)"
    )
    return failed(summary, {"owner": found.owner})


@check("view_lifetime", asset="view", severity="WARN")
def view_lifetime(inspection: Inspection, pair: Pair) -> Verdict:
    """The view is not older than the migration says that it may become."""
    view = _view(inspection, pair)
    if view is None:
        return _no_view(inspection, pair)
    since, days = _since(inspection, pair), inspection.migration.view_lifetime_days
    if since is None:
        return not_applicable("Neither migration.yaml nor the ledger says since when it is there.")
    with inspection.session.transaction(read_only=True):
        today: date = inspection.session.scalar(engine("today"))
    age = (today - since).days
    facts = {"since": since.isoformat(), "age_days": age, "lifetime_days": days}
    if age > days:
        summary = (
            f"{ADVISED} the view {pair.old} was meant for {counted(days, 'day')} and is there for {age}: roll back now, or change"
            " the code that still uses the old name and drop the view."
        )
        return failed(summary, facts)
    return passed(f"The view is there for {age} of its {counted(days, 'day')}.", facts)


def _since(inspection: Inspection, pair: Pair) -> date | None:
    """Return when the last migration was: the ledger's row of ours, else the date in migration.yaml."""
    entries = [e for e in inspection.ledger.entries if e.step in ("migrate", "undo") and e.pair == pair.old]
    return entries[-1].at.date() if entries else inspection.migration.applied
