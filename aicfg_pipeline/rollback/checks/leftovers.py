"""The checks that what should be gone is gone: new tables, views, the pipeline's own things; and that PostgREST knows.

What still *refers* to them is `references`'.
"""

from __future__ import annotations

from typing import Any

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback.checks.check import Check, Watch, about, checked, nothing_yet, restored, was_rolled_back
from aicfg_pipeline.rollback.state import PairState, State
from aicfg_pipeline.spec.model import Pair

SCHEMA_STEPS = ("migrate", "cut_over", "undo")
"""The steps after which the API has to read the schema anew."""


def _dropped(watch: Watch, pair: Pair) -> bool:
    """Say whether the last cut-over's parked table has been dropped since, as the ledger has it."""
    drop = watch.ledger.last("drop", pair=pair.old, outcome="done")
    swap = watch.ledger.last("cut_over", pair=pair.old)
    return drop is not None and (swap is None or drop.id > swap.id)


@about("new")
def new_tables_gone(watch: Watch, pair: Pair) -> Check:
    """Nothing has the new name any more; after the drop it is not parked either."""
    state = watch.state(pair)
    if state.state not in (State.CUT_OVER, State.ROLLED_BACK) and not was_rolled_back(watch, pair):
        return nothing_yet(watch, pair, "new_tables_gone", "new")
    dropped = _dropped(watch, pair)
    wrong: list[Relation] = [r for r in (state.at_new_name,) if r is not None]
    wrong += [state.private_new] if dropped and state.private_new is not None else []
    facts = {"found": [str(r) for r in wrong], "dropped": dropped}
    if wrong:
        names = " and ".join(str(r) for r in wrong)
        summary = f"There is {names}, although {pair.new} was rolled back."
        return Check("new_tables_gone", pair.old, "new", False, summary, facts=facts)
    where = f"{state.private_new} is parked" if state.private_new else "it is gone for good"
    return Check("new_tables_gone", pair.old, "new", True, f"Nothing is called {pair.new} now; {where}.", facts=facts)


@about("view")
def views_gone(watch: Watch, pair: Pair) -> Check:
    """The old name is a table's again; after the drop the view is not parked either."""
    state = watch.state(pair)
    if state.state not in (State.CUT_OVER, State.ROLLED_BACK) and not was_rolled_back(watch, pair):
        return nothing_yet(watch, pair, "views_gone", "view")
    parked = state.private_old if state.private_old and state.private_old.is_view else None
    there = state.at_old_name if state.at_old_name and not state.at_old_name.is_table else None
    wrong = [str(r) for r in (there, parked if _dropped(watch, pair) else None) if r is not None]
    facts = {"found": wrong, "dropped": _dropped(watch, pair)}
    if wrong:
        summary = f"There is {' and '.join(wrong)}, although the view was rolled back."
        return Check("views_gone", pair.old, "view", False, summary, facts=facts)
    where = f"{parked} is parked" if parked else "it is gone for good"
    return Check("views_gone", pair.old, "view", True, f"No view is called {pair.old}; {where}.", facts=facts)


def nothing_left(watch: Watch, pair: Pair) -> Check:
    """After the drop nothing of the pipeline is left but the ledger; until then this lists what there is."""
    state = watch.state(pair)
    if state.state not in (State.CUT_OVER, State.ROLLED_BACK, State.NEVER_MIGRATED):
        return nothing_yet(watch, pair, "nothing_left")
    return checked("nothing_left", pair, "old", lambda: _nothing_left(watch, pair))


def _nothing_left(watch: Watch, pair: Pair) -> Check:
    with watch.session.transaction(read_only=True):
        rows = watch.session.all(engine("leftovers"))
    found = [_named(r) for r in rows if not _known(watch, pair, r)]
    facts: dict[str, Any] = {"found": found}
    if watch.state(pair).state == State.CUT_OVER:
        there = ", ".join(found) or "nothing"
        return Check("nothing_left", pair.old, "old", True, f"Until the drop there is: {there}.", facts=facts)
    if found:
        summary = f"Besides the ledger there is still: {', '.join(found)}."
        return Check("nothing_left", pair.old, "old", False, summary, facts=facts)
    return Check("nothing_left", pair.old, "old", True, "Nothing of the pipeline is left but the ledger.", facts=facts)


def _named(row: Any) -> str:
    return f"{row.kind} {row.name}" + (f" on {row.on_table}" if row.on_table else "")


def _known(watch: Watch, pair: Pair, row: Any) -> bool:
    """Say whether it is reported elsewhere: with another pair, or by `new_tables_gone` and `views_gone`."""
    if watch.state(pair).state != State.CUT_OVER and (row.kind, row.name) in (("view", pair.old), ("table", pair.new)):
        return True
    return any(_belongs(state, row) for state in watch.look.pairs if state.pair.old != pair.old)


def _belongs(state: PairState, row: Any) -> bool:
    if row.on_table is None:
        return row.name in (state.pair.old, state.pair.new, state.pair.change_log)
    relations = [r for r in (state.at_old_name, state.at_new_name, state.private_old, state.private_new) if r]
    return row.on_oid in [r.oid for r in relations]


def api_schema_cache(watch: Watch, pair: Pair) -> Check:
    """PostgREST was told to read the schema anew when the names changed hands."""
    entries = [e for e in watch.ledger.entries if e.step in SCHEMA_STEPS and e.pair == pair.old and e.outcome == "done"]
    if not entries or restored(watch, pair) is None:
        return nothing_yet(watch, pair, "api_schema_cache")
    last = entries[-1]
    facts = {"step": last.step, "at": last.at.isoformat(), "told": bool(last.facts.get("api_notified"))}
    when = f"{last.at:%Y-%m-%d %H:%M:%S %Z}"
    if not facts["told"]:
        summary = (
            f"The step {last.step} of {when} did not tell PostgREST, which may still serve the schema as it was before."
            " Say NOTIFY pgrst, 'reload schema'."
        )
        return Check("api_schema_cache", pair.old, "old", False, summary, facts=facts)
    summary = f"PostgREST was told on {when}, in the transaction of the step {last.step}."
    return Check("api_schema_cache", pair.old, "old", True, summary, facts=facts)
