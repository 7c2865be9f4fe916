"""The checks that what should be gone is gone: new tables, views, the pipeline's own things; and that PostgREST knows.

What still *refers* to them is `references`'.
"""

from __future__ import annotations

from typing import Any

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback.checks.check import Verdict, check, failed, not_applicable, nothing_yet, passed
from aicfg_pipeline.rollback.checks.inspection import Inspection, restored, was_rolled_back
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, UNDOABLE, PairState, State
from aicfg_pipeline.rollback.tables import beside
from aicfg_pipeline.rollback.tables.preparation import PREPARE_DAYS, preparation
from aicfg_pipeline.spec.model import Pair, shortened

SCHEMA_STEPS = ("migrate", "cut_over", "undo")
"""The steps after which the API has to read the schema anew."""


def _dropped(inspection: Inspection, pair: Pair) -> bool:
    """Say whether the last cut-over's parked table has been dropped since, as the ledger has it."""
    drop = inspection.ledger.last("drop", pair=pair.old, outcome="done")
    swap = inspection.ledger.last("cut_over", pair=pair.old)
    return drop is not None and (swap is None or drop.id > swap.id)


@check("new_tables_gone", asset="new")
def new_tables_gone(inspection: Inspection, pair: Pair) -> Verdict:
    """Nothing has the new name any more; after the drop it is not parked either."""
    state = inspection.state(pair)
    if state.state not in (*UNDOABLE, State.ROLLED_BACK) and not was_rolled_back(inspection, pair):
        return nothing_yet(inspection, pair)
    if pair.in_place:
        return not_applicable(
            f"{pair.old} is one table; what its columns are called is compared by the check structure."
        )
    dropped = _dropped(inspection, pair)
    wrong: list[Relation] = [r for r in (state.at_new_name,) if r is not None]
    wrong += [state.private_new] if dropped and state.private_new is not None else []
    facts = {"found": [str(r) for r in wrong], "dropped": dropped}
    if wrong:
        names = " and ".join(str(r) for r in wrong)
        return failed(f"There is {names}, although {pair.new} was rolled back.", facts)
    where = f"{state.private_new} is parked" if state.private_new else "it is gone for good"
    where = f"it was renamed to {pair.old} where it is" if state.state == State.RENAMED else where
    return passed(f"Nothing is called {pair.new} now; {where}.", facts)


@check("views_gone", asset="view")
def views_gone(inspection: Inspection, pair: Pair) -> Verdict:
    """The old name is a table's again; after the drop the view is not parked either."""
    state = inspection.state(pair)
    if state.state not in (*UNDOABLE, State.ROLLED_BACK) and not was_rolled_back(inspection, pair):
        return nothing_yet(inspection, pair)
    parked = state.private_old if state.private_old and state.private_old.is_view else None
    there = state.at_old_name if state.at_old_name and not state.at_old_name.is_table else None
    wrong = [str(r) for r in (there, parked if _dropped(inspection, pair) else None) if r is not None]
    facts = {"found": wrong, "dropped": _dropped(inspection, pair)}
    if wrong:
        return failed(f"There is {' and '.join(wrong)}, although the view was rolled back.", facts)
    where = f"{parked} is parked" if parked else "it is gone for good"
    return passed(f"No view is called {pair.old}; {where}.", facts)


@check("nothing_left")
def nothing_left(inspection: Inspection, pair: Pair) -> Verdict:
    """After the drop nothing of the pipeline is left but the ledger, and before a rollback nothing of an attempt."""
    state = inspection.state(pair)
    if state.state == State.MIGRATED_AGAIN:
        return _parked_before(state)
    if state.state in TO_ROLL_BACK:
        return _of_an_attempt(inspection, state)
    if state.state not in (*UNDOABLE, State.ROLLED_BACK, State.NEVER_MIGRATED):
        return nothing_yet(inspection, pair)
    return _nothing_left(inspection, pair)


def _parked_before(state: PairState) -> Verdict:
    """Others have migrated again, and what an earlier rollback has parked has no way back."""
    parked = [str(r) for r in (state.private_old, state.private_new) if r is not None]
    return failed(
        f"{state.because}. Kept from that rollback: {', '.join(parked)}. The job rollback sets them aside; the job"
        " drop_new_tables exports and drops them.",
        {"found": parked},
        severity="WARN",
    )


def _of_an_attempt(inspection: Inspection, state: PairState) -> Verdict:
    """An attempt that nobody goes on with costs every writer of the table, and its log grows."""
    with inspection.session.transaction(read_only=True):
        rows = [r for r in inspection.session.all(engine("leftovers")) if _belongs(state, r)]
        size = inspection.session.scalar(engine("relation_bytes"), {"oid": state.log.oid}) if state.log and rows else 0
    built = beside.left(inspection.session, state.new_table)
    found = [*(_named(r) for r in rows), *(f"{r.kind} {r.name} on {state.new_table}" for r in built)]
    facts = {"found": found, "log_bytes": size or 0}
    ready = preparation(inspection.session, inspection.migration, inspection.ledger, state)
    if ready is not None:
        told = f"{ready}. The log has {_size(size or 0)}. Switch with the job rollback, or give it up with abandon."
        if ready.void:
            return failed(f"Each write to the table is logged for nothing: {told}", facts, severity="WARN")
        if not ready.waits_too_long:
            return not_applicable(f"Left on purpose: {told}", facts)
        return failed(f"Prepared for more than {PREPARE_DAYS} days: {told}", facts, severity="WARN")
    if found:
        return failed(
            f"An attempt at a rollback has left: {', '.join(found)}. Each write to the table is logged; the log has"
            f" {_size(size or 0)}. Go on with the job rollback, or give it up with abandon.",
            facts,
            severity="WARN",
        )
    return passed("No attempt at a rollback has left anything.", facts)


LARGE_LOG = 128 * 2**20
"""A change log that is larger than this and than its table is worth a word: nothing bounds its growth."""


@check("log_size", severity="WARN")
def log_size(inspection: Inspection, pair: Pair) -> Verdict:
    """The change log has not grown larger than the table that it is about."""
    state = inspection.state(pair)
    table = state.at_old_name if state.state == State.CUT_OVER else state.at_new_name
    if state.log is None or table is None:
        return not_applicable(f"There is no change log ({state.state}).")
    with inspection.session.transaction(read_only=True):
        log, rows = (
            inspection.session.scalar(engine("relation_bytes"), {"oid": o}) or 0 for o in (state.log.oid, table.oid)
        )
    facts = {"log_bytes": log, "table_bytes": rows}
    told = f"the change log has {_size(log)}, {table} has {_size(rows)}"
    if log > max(LARGE_LOG, rows):
        return failed(
            f"Nothing bounds the log, and {told}. Drop what is parked, undo the rollback, or see to the disk.", facts
        )
    return passed(f"{told[0].upper()}{told[1:]}.", facts)


def _size(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _nothing_left(inspection: Inspection, pair: Pair) -> Verdict:
    with inspection.session.transaction(read_only=True):
        rows = inspection.session.all(engine("leftovers"))
    found = [_named(r) for r in rows if not _known(inspection, pair, r)]
    facts: dict[str, Any] = {"found": found}
    if inspection.state(pair).state in UNDOABLE:
        there = ", ".join(found) or "nothing"
        return not_applicable(f"Until the drop there is: {there}.", facts)
    if found:
        return failed(f"Besides the ledger there is still: {', '.join(found)}.", facts)
    return passed("Nothing of the pipeline is left but the ledger.", facts)


def _named(row: Any) -> str:
    return f"{row.kind} {row.name}" + (f" on {row.on_table}" if row.on_table else "")


def _known(inspection: Inspection, pair: Pair, row: Any) -> bool:
    """Say whether it is reported elsewhere: with another pair, or by `new_tables_gone` and `views_gone`."""
    if inspection.state(pair).state not in UNDOABLE and (row.kind, row.name) in (
        ("view", pair.old),
        ("table", pair.new),
    ):
        return True
    if any(_belongs(state, row) for state in inspection.look.pairs if state.pair.old != pair.old):
        return True
    return row.name in _of_others(inspection) or row.calls in _of_others(inspection)


def _of_others(inspection: Inspection) -> set[str]:
    """Return the names that the ledger knows as another migration's: its tables, what an undo kept of them, its logs (L6)."""
    mine = {p.old for p in inspection.migration.pairs}
    names: set[str] = set()
    for entry in inspection.ledger.entries:
        if entry.pair is not None and entry.pair not in mine:
            names |= {entry.pair, shortened("change_log_", entry.pair), str(entry.facts.get("new_table", entry.pair))}
            names |= {str(name) for name in entry.facts.get("kept", ())}
    return names


def _belongs(state: PairState, row: Any) -> bool:
    if row.on_table is None:
        return row.name in (state.pair.old, state.pair.new, state.pair.change_log, state.pair.before_undo)
    relations = [r for r in (state.at_old_name, state.at_new_name, state.private_old, state.private_new) if r]
    return row.on_oid in [r.oid for r in relations]


@check("api_schema_cache")
def api_schema_cache(inspection: Inspection, pair: Pair) -> Verdict:
    """PostgREST was told to read the schema anew when the names changed hands."""
    entries = [
        e for e in inspection.ledger.entries if e.step in SCHEMA_STEPS and e.pair == pair.old and e.outcome == "done"
    ]
    if not entries or restored(inspection, pair) is None:
        return nothing_yet(inspection, pair)
    last = entries[-1]
    facts = {"step": last.step, "at": last.at.isoformat(), "told": bool(last.facts.get("api_notified"))}
    when = f"{last.at:%Y-%m-%d %H:%M:%S %Z}"
    if not facts["told"]:
        summary = (
            f"The step {last.step} of {when} did not tell PostgREST, which may still serve the schema as it was before."
            " Say NOTIFY pgrst, 'reload schema'."
        )
        return failed(summary, facts)
    return passed(f"PostgREST was told on {when}, in the transaction of the step {last.step}.", facts)
