"""Undo and drop of the instant way: the inverses that the ledger has, in one transaction; of ours only the view was parked.

The way there is `instant`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aicfg_pipeline.postgres.statements import comma, engine, ident, private
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look, PairState, State, renamed_by
from aicfg_pipeline.rollback.steps import instant
from aicfg_pipeline.rollback.steps.instant import WAY, recorded, where_they_are
from aicfg_pipeline.rollback.tables import beside, foreign_keys, on_disk, trigger_functions
from aicfg_pipeline.rollback.tables.change import Ahead
from aicfg_pipeline.rollback.tables.swap import Swap, swap
from aicfg_pipeline.rollback.work import Work, begun, carry_out

STEP = "undo"


def undo(run: Run, look: Look) -> dict[str, Any]:
    """Give every pair that was renamed in place its new names again, and all that it was made of.

    Returns the times; nothing where there is no such pair.
    """
    states = look.in_state(State.RENAMED)
    if not states:
        return {}
    for state in states:
        beside.build(run, state.pair, state.old_table, _ahead(_swap_of(run.look(), state)))
    look = run.look()
    facts = {s.pair.old: _facts(run, look, s) for s in states}
    timing = swap(run, _swapping(run, look, states, facts), what="undo")
    run.say(f"undo: {', '.join(s.pair.new for s in states)} in use again; no row moved")
    return {**WAY, **timing}


def settle(run: Run) -> dict[str, Any]:
    """Validate what undos of the instant way have made NOT VALID. Does nothing where that is done."""
    look = run.look()
    return instant.settle(run, look, {s.pair.old: s.new_table for s in _undone(look)}, STEP)


def _undone(look: Look) -> list[PairState]:
    """Return the pairs whose last swap was an undo of the instant way."""
    lasts = {s.pair.old: foreign_keys.last_swap(look.ledger, s.pair) for s in look.pairs}
    return [
        s
        for s in look.pairs
        if (e := lasts[s.pair.old]) and e.step == STEP and e.facts.get("way") == "instant" and s.at_new_name
    ]


def _swap_of(look: Look, state: PairState) -> Entry:
    found = renamed_by(look.ledger, state.pair)
    assert found is not None  # the state says so
    return found


def _ahead(swapped: Entry) -> list[Ahead]:
    return [Ahead(**a) for c in swapped.facts["inverse"] for a in c["ahead"]]


def _to_prove(swapped: Entry) -> list[str]:
    return [str(name) for c in swapped.facts["inverse"] for name in c["prove"]]


def _facts(run: Run, look: Look, state: PairState) -> dict[str, Any]:
    where = on_disk.files_of(run.session, state.old_table)
    return {**WAY, "new_oid": state.old_table.oid, "prove": _to_prove(_swap_of(look, state)), **where}


def _swapping(run: Run, look: Look, states: Sequence[PairState], facts: Mapping[str, Mapping[str, Any]]) -> Swap:
    """Return the swap: the names first, then every inverse, the last change first."""
    ours = {s.old_table.oid for s in states}
    views = [s.private_old for s in states if s.private_old is not None and s.private_old.is_view]
    swaps = [_swap_of(look, s) for s in states]
    changes = [c for e in swaps for c in reversed(e.facts["inverse"])]
    first = [c for c in changes if set(c["referred"]) - ours]
    names = [s for e in swaps for s in recorded(e.facts["names"])]
    put_back = [
        f
        for s in states
        for f in trigger_functions.put_back_statements(run.session, run.migration, look, look.ledger, s.pair)
    ]
    return Swap(
        step=STEP,
        search_path=run.search_path,
        keys=[*names, *(s for c in first for s in recorded(c))] if first else [],
        tables=[*(ident(s.old_table.schema, s.old_table.name) for s in states), *(private(v.name) for v in views)],
        replays=[],
        moves=where_they_are(
            ours,
            [
                *([] if first else names),
                *(s for c in changes if c not in first for s in recorded(c)),
                *put_back,
                *(engine("view_to_schema", view=private(v.name), schema=ident(run.migration.schema)) for v in views),
            ],
        ),
        facts=facts,
        oids=[*sorted(ours), *(v.oid for v in views)],
        referred=sorted({int(oid) for c in first for oid in c["referred"]} - ours),
    )


def works(run: Run, look: Look) -> Iterator[Work]:
    """Yield what an undo of the pairs does that were renamed in place."""
    states = look.in_state(State.RENAMED)
    if not states:
        return
    for state in states:
        yield from beside.works(run.session, state.pair, state.old_table, _ahead(_swap_of(look, state)))
    yield _swapping(run, look, states, {}).work
    for state in states:
        table = ident(state.old_table.schema, state.pair.new)
        for name in _to_prove(_swap_of(look, state)):
            yield foreign_keys.validating(STEP, state.pair, table, name)


# --- for good --------------------------------------------------------------------------------------------------


def drop(run: Run, states: Sequence[PairState]) -> dict[str, dict[str, Any]]:
    """End the time in which it can be undone: the parked view goes. No table was parked, so there is nothing to export."""
    done: dict[str, dict[str, Any]] = {}

    def work() -> None:
        dropping = next(drop_works(states))
        with begun(run, dropping) as session:
            carry_out(session, dropping.then)
            for state in states:
                gone = [state.private_old.name] if state.private_old else []
                done[state.pair.old] = {
                    **WAY,
                    "dropped": gone,
                    "exports": [],
                    **on_disk.files_of(session, state.old_table),
                }
            for old, facts in done.items():
                run.record("drop", "done", pair=old, facts=facts)

    run.with_locks(work, what="drop", oids=[s.private_old.oid for s in states if s.private_old])
    for old, facts in done.items():
        view = (
            f"its parked view {run.session.private_schema}.{old} is dropped"
            if facts["dropped"]
            else "there was no view"
        )
        run.say(f"{old}: it was renamed in place, so no table is parked and nothing is exported; {view}")
    return done


def drop_works(states: Sequence[PairState]) -> Iterator[Work]:
    """Yield what a drop of these pairs does."""
    views = [private(s.private_old.name) for s in states if s.private_old is not None]
    if states:
        yield Work(
            "drop",
            None,
            "of tables that were renamed in place only the views are parked",
            locks=[engine("lock_exclusively", tables=comma(views))] if views else [],
            then=[engine("drop_view", view=v) for v in views],
            brief=True,
            outcome="done",
        )
