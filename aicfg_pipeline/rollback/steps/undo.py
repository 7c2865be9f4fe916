"""Takes a rollback back while the new tables are parked: replay, compare, one short swap, then what can wait.

The same in the other direction as `copy_back`, `compare` and `cut_over`. What comes back of columns that the old table
has no place for is `forth`'s. Undoing the undo is another rollback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import GateError, LockTimeoutError, StateError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import comma, engine, ident, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback import own
from aicfg_pipeline.rollback.hazards import Subject, undoing
from aicfg_pipeline.rollback.run import Run, at_work
from aicfg_pipeline.rollback.state import UNDOABLE, Look, PairState, State
from aicfg_pipeline.rollback.steps import instant_undo
from aicfg_pipeline.rollback.tables import change_log, ddl, foreign_keys, sequences, trigger_functions
from aicfg_pipeline.rollback.tables.along import Along, along_forth, settle_outside
from aicfg_pipeline.rollback.tables.aside import free_name, set_aside
from aicfg_pipeline.rollback.tables.catch_up import Replay, catch_up, vacuuming
from aicfg_pipeline.rollback.tables.comparison import COMPARE_SETTINGS, Comparison, compare_sides, comparison_statements
from aicfg_pipeline.rollback.tables.forth import (
    Forth,
    explained,
    mend_references,
    mending_statements,
    remembering,
    replay_statements,
    way_forth,
)
from aicfg_pipeline.rollback.tables.in_doubt import doubting, is_merged
from aicfg_pipeline.rollback.tables.losses import guards
from aicfg_pipeline.rollback.tables.outside_keys import must_be_the_same
from aicfg_pipeline.rollback.tables.retired import left_by_undo, retiring, settle
from aicfg_pipeline.rollback.tables.sources import forth_way
from aicfg_pipeline.rollback.tables.swap import Swap, exchange, moving, swap, within_swap_schema
from aicfg_pipeline.rollback.work import Work, begun, carry_out

STEP = "undo"
MEND_ATTEMPTS = 3


def undo_rollback(run: Run) -> dict[str, Any]:
    """Bring every pair that is cut over back to the new table. Returns locks held in milliseconds and keys replayed.

    Raises `StateError` where there is nothing to go back to, `GateError` where the tables can't be proven and
    `LockTimeoutError` where the locks are not to be had; in all cases the names are as before.
    """
    look = run.look()
    states = look.in_state(State.CUT_OVER)
    facts: dict[str, Any] = {"pairs": [s.pair.old for s in look.in_state(*UNDOABLE)]}
    _must_be_undoable(run, look, states)
    facts.update(renamed := instant_undo.undo(run, look))
    if states:
        for state in states:
            _prepared(run, look, state)
            catch_up_forth(run, state.pair.old)
            _vacuumed(run, state)
        proven = _proven(run, states)
        facts.update(_swap(run, states, proven))
    elif not renamed:
        run.say("undo: nothing to do, no pair is cut over")
    facts["settled"] = settle(run) | instant_undo.settle(run)
    settle_outside(run, STEP, [(s.pair, s.at_new_name.oid) for s in run.look().pairs if s.at_new_name])
    return facts


def _must_be_undoable(run: Run, look: Look, states: Sequence[PairState]) -> None:
    """Refuse with all reasons at once, before anything is touched."""
    dropped = look.in_state(State.ROLLED_BACK)
    if dropped and not look.in_state(*UNDOABLE) and not any(left_by_undo(look, s) for s in look.pairs):
        raise StateError(
            "The rollback can't be undone: the parked tables are gone.",
            complaints=[f"{s.pair.old}: {s.because}" for s in dropped],
            remedy="Launch the job migrate to go forward again; the ledger names the export of what was dropped.",
        )
    found = undoing.find(Subject(run.session, run.migration, look, run.settings, must_confirm=False))
    blocking = [h for h in found if h.blocks(run.settings.accept_hazards)]
    if blocking:
        raise StateError(
            "The rollback can't be undone as it is. Nothing has changed.",
            complaints=[h.complaint for h in blocking],
            remedy="Mend what is named above and launch the job undo_rollback again.",
        )


# --- before the swap -------------------------------------------------------------------------------------------


def _prepared(run: Run, look: Look, state: PairState) -> None:
    """Finish what a killed cut-over left, and put in doubt what a merge has changed before the log began."""
    for relation in (state.private_new, state.private_old):
        if relation is not None and relation.is_table:
            try:
                foreign_keys.take_off(run, state.pair, relation, attempts=foreign_keys.FEW_ATTEMPTS)
            except LockTimeoutError as error:  # what has stayed on until now holds: nothing has to be put on again
                run.say(f"{state.pair.old}: a foreign key stays on the parked table. {error.found}")
    if is_merged(look, state):
        _merge_in_doubt(run, state)


def _remember(run: Run, state: PairState) -> None:
    """Make the place for what the old table has no place for, before the first replay."""
    remembering_ = _remembering(run.session, way_forth(run.session, state, run.look().ledger), state)
    if remembering_.then:
        with begun(run, remembering_) as session:
            carry_out(session, remembering_.then)
            run.record(STEP, "remembering", pair=state.pair.old)


def _remembering(session: Session, forth: Forth, state: PairState) -> Work:
    does = "a place for the parked rows as they are before their first replay"
    return Work(STEP, state.pair.old, does, then=remembering(session, forth, state), outcome="remembering")


def _merge_in_doubt(run: Run, state: PairState) -> None:
    """The old table holds rows that were merged and never logged; the versions that they replace are kept."""
    pair = state.pair
    kept = free_name(run.session, pair.new)
    doubting_ = doubting(way_forth(run.session, state, run.look().ledger), kept)
    with begun(run, doubting_) as session:
        keep, doubt, unneeded = doubting_.then
        overwritten, doubted = carry_out(session, [keep]), carry_out(session, [doubt])
        if not overwritten:
            carry_out(session, [unneeded])
        facts = {"kept": [kept] if overwritten else [], "overwritten": overwritten, "in_doubt": doubted}
        run.record(STEP, "prepared", pair=pair.old, facts=facts)


def replay_forth(forth: Forth) -> Replay:
    """Return how a parked table is brought up to date with the old one."""

    def make(whole_table: bool) -> list[sql.Composable]:
        return replay_statements(forth, whole_table=whole_table)

    return Replay(forth.pair, STEP, forth.source.tables, forth.target, make)


def catch_up_forth(run: Run, old: str) -> int:
    """Bring the parked table of one pair nearly up to date; return entries replayed."""
    look = run.look()
    _remember(run, look[old])
    return catch_up(run, replay_forth(way_forth(run.session, look[old], look.ledger)))


def _vacuumed(run: Run, state: PairState) -> None:
    for work in _vacuuming(state):
        carry_out(run.session, work.then)


def _vacuuming(state: PairState) -> list[Work]:
    log = engine("vacuum_log", log=private(state.pair.change_log))
    return [
        vacuuming(STEP, state.pair, private(state.pair.new)),
        Work(STEP, state.pair.old, "so that nobody counts over dead entries", then=[log], alone=True),
    ]


def _proving(ways: Sequence[Forth], then: Sequence[sql.Composable] = ()) -> Work:
    return Work(
        STEP,
        None,
        "prove every parked table against the old one, and mend what refers to nothing any more",
        locks=[engine("lock_for_read", tables=comma(t for w in ways for t in w.source.tables))],
        then=then,
        settings=COMPARE_SETTINGS,
        snapshot=True,
        outcome="proven",
    )


def _proofs(session: Session, forth: Forth) -> list[sql.Composable]:
    """Return what the gate runs for one pair."""
    hashable = not catalog.unhashable_columns(session, forth.parked.oid)
    source = replace(forth.source, columns=forth.proven)
    return [
        *mending_statements(session, forth, forth.parked, forth.source),
        *comparison_statements(source, forth.target, forth.pair.key, explained(forth), hashable=hashable),
    ]


def _proven(run: Run, states: Sequence[PairState]) -> dict[str, Comparison]:
    """The gate: every parked table against the old one, mapped forward, in one snapshot."""
    look = run.look()
    ways = [way_forth(run.session, s, look.ledger) for s in states]
    results: dict[str, Comparison] = {}
    with begun(run, _proving(ways)) as session:
        for forth in ways:
            mended = mend_references(session, forth, forth.parked, forth.source)
            with at_work(run, f"{forth.pair.old}: comparing row by row"):
                found = compare_sides(
                    session,
                    replace(forth.source, columns=forth.proven),
                    forth.target,
                    forth.parked.oid,
                    forth.pair.key,
                    explained(forth),
                )
            results[forth.pair.old] = found
            facts = {**found.facts, "references_mended": mended}
            run.record(STEP, "proven" if found.proven else "refuted", pair=forth.pair.old, facts=facts)
            run.say(f"{forth.pair.old}: {found}")
    wrong = {old: r for old, r in results.items() if not r.proven}
    if wrong:
        raise GateError(
            "The parked tables are not what the old tables hold. The old tables stay in use, the new ones parked.",
            complaints=[
                f"{old}: {counted(r.differences.unexplained, 'row differs', 'rows differ')} without an entry in the change log:"
                f" {', '.join(str(s['key']) for s in r.differences.sample[:5]) or 'no key, the checksums differ'}"
                for old, r in wrong.items()
            ],
            expected="every difference between old and parked table to be explained by the change log",
            remedy="Find out who wrote past the triggers (the keys are named above), then launch undo_rollback again.",
        )
    return results


# --- the swap --------------------------------------------------------------------------------------------------


def lock_order(states: Sequence[PairState]) -> list[sql.Identifier]:
    """Old tables first: they are the only ones that others use. Then what is parked."""
    parked = [r for s in states for r in (s.private_old, s.private_new) if r is not None]
    views = [r for r in parked if r.is_view]
    tables = [r for r in parked if not r.is_view]
    return [ident(r.schema, r.name) for r in (*(s.old_table for s in states), *views, *tables)]


def _oids(states: Sequence[PairState]) -> list[int]:
    return [r.oid for s in states for r in (s.at_old_name, s.private_old, s.private_new) if r is not None]


def _swap(run: Run, states: Sequence[PairState], proven: Mapping[str, Comparison]) -> dict[str, Any]:
    look = run.look()
    others = along(run, look, states).carried
    timing = swap(run, _swapping(run, look, states, proven, others), what="undo")
    run.say(
        f"undo: {', '.join(s.pair.new for s in states)} in use again;"
        f" change log entries replayed under the locks: {timing['keys_replayed']}, attempts: {timing['lock_attempts']}"
    )
    return timing


def along(run: Run, look: Look, states: Sequence[PairState]) -> Along:
    """Return what of others refers to the old tables."""
    with run.session.transaction(read_only=True):  # an empty search path: every name is qualified
        return along_forth(run.session, look, states)


def _swapping(
    run: Run, look: Look, states: Sequence[PairState], proven: Mapping[str, Comparison], others: Along
) -> Swap:
    ways = [way_forth(run.session, s, look.ledger) for s in states]
    aways = {s.pair.old: _Away(run, look, s) for s in states}
    keys = [(w.target, k) for w in ways for k in w.foreign_keys]
    referred = catalog.relations(run.session, {tuple(k["references"]) for _, k in keys})
    between = [foreign_keys.put_on_statement(target, dict(k)) for target, k in keys if foreign_keys.is_between(k)]
    advances = [a for s in states for a in sequences.advance_statements(run.session, s.old_table, s.parked)]
    moved = _moved(run, look, states, aways)
    moved += [
        f
        for s in states
        for f in trigger_functions.put_back_statements(run.session, run.migration, look, look.ledger, s.pair)
    ]
    return Swap(
        step=STEP,
        search_path=ddl.building_path(run, run.migration.schema),
        keys=[
            *others.locks,
            *(foreign_keys.put_on_statement(target, dict(k)) for target, k in keys if not foreign_keys.is_between(k)),
        ],
        tables=lock_order(states),
        replays=[replay_forth(w) for w in ways],
        moves=[*between, *advances, *within_swap_schema(run.migration.schema, moved), *others.statements],
        guards=[g for s in states for g in _guards(run, s)],
        look_again=lambda: _must_be_undoable_still(run, states, others),
        facts={
            old: (proven[old].facts if old in proven else {}) | away.facts | others.facts(run.migration.pair(old))
            for old, away in aways.items()
        },
        oids=_oids(states),
        referred=sorted({r.oid for r in referred.values()} - set(_oids(states))),
        outside=others.outside,
    )


def _must_be_undoable_still(run: Run, states: Sequence[PairState], others: Along) -> None:
    look = run.look()
    _must_be_undoable(run, look, states)
    must_be_the_same(others.keys, along(run, look, states).carried.keys)


def _guards(run: Run, state: PairState) -> list[sql.Composable]:
    way = forth_way(run.session, state.pair, state.old_table, state.parked)
    return guards(run.session, way, accepted=run.settings.accept_hazards)


class _Away:
    """Where a superseded table goes that lies where the old table has to go: all its names make way for those."""

    def __init__(self, run: Run, look: Look, state: PairState) -> None:
        self.statements: list[sql.Composable] = []
        prepared = look.ledger.last(STEP, pair=state.pair.old, outcome="prepared")
        swap = look.ledger.last("cut_over", pair=state.pair.old, outcome="done")
        fresh = prepared is not None and (swap is None or prepared.id > swap.id)
        kept = list(prepared.facts.get("kept", [])) if prepared and fresh else []
        superseded = state.private_old if state.private_old and state.private_old.is_table else None
        if superseded:
            name, self.statements = set_aside(run.session, superseded)
            kept.append(name)
        self.facts = {"retired_oid": state.old_table.oid, "new_oid": state.parked.oid, "kept": kept}


def _moved(run: Run, look: Look, states: Sequence[PairState], aways: Mapping[str, _Away]) -> list[sql.Composable]:
    """The old tables leave, the new tables and their views come, as they were: grants, options and all."""
    schema = run.migration.schema
    return [
        *(c for s in states for c in change_log.detach_statements(ident(schema, s.pair.old))),
        *(c for s in states for c in aways[s.pair.old].statements),
        *exchange(
            schema,
            [m for s in states for m in moving(s.old_table)],
            [m for s in states for m in moving(s.parked, _parked_view(s))],
            then=[c for s in states for c in _made(run, look, s)],
        ),
    ]


def _parked_view(state: PairState) -> Relation | None:
    return state.private_old if state.private_old and state.private_old.is_view else None


def _made(run: Run, look: Look, state: PairState) -> list[sql.Composable]:
    """Return the view of the file, where the old name was to be found and the view of before is not there.

    The view of before comes back as it was, options and all; where there is none and no file of one, none is made.
    """
    if _parked_view(state) or not _had_view(look, state):
        return []
    return ddl.view_statements(run.session, state.pair, own.on_behalf_of(run.session, state.parked.owner))


def _had_view(look: Look, state: PairState) -> bool:
    """Say whether the old name was to be found before the cut-over: a view, or a table that is superseded now."""
    swapped = look.ledger.last("cut_over", pair=state.pair.old, outcome="done")
    return swapped is None or bool(swapped.facts.get("view", True) or swapped.facts.get("superseded"))


# --- what it does, as data -------------------------------------------------------------------------------------


def works(run: Run, look: Look, states: Sequence[PairState]) -> Iterator[Work]:
    """Yield what this step does with pairs that are cut over."""
    yield from instant_undo.works(run, look)
    if not states:
        return
    ways = [way_forth(run.session, s, look.ledger) for s in states]
    for state, forth in zip(states, ways, strict=True):
        yield from _leftovers(run, look, state, forth)
        yield replay_forth(forth).work()
        yield from _vacuuming(state)
    yield _proving(ways, [p for w in ways for p in _proofs(run.session, w)])
    for forth in ways:
        yield replay_forth(forth).work()
    others = along(run, look, states).carried
    yield _swapping(run, look, states, {}, others).work
    for state in states:
        for key in foreign_keys.found(run, state.old_table):
            yield foreign_keys.taking_off(STEP, state.pair, private(state.pair.old), key.name)
    for state, forth in zip(states, ways, strict=True):
        for name in sorted(str(k["name"]) for k in forth.foreign_keys if foreign_keys.held_before(k)):
            table = ident(state.old_table.schema, state.pair.new)
            yield foreign_keys.validating(STEP, state.pair, table, name)
        ours = [s.old_table.oid for s in states]
        gone = others.labels
        yield retiring(run.session, state, state.old_table, ours, before_undo=bool(forth.kept), gone=gone).work
    yield from others.validating(STEP)


def _leftovers(run: Run, look: Look, state: PairState, forth: Forth) -> Iterator[Work]:
    """What a killed cut-over left, and what a merge of coexisting tables has put in doubt."""
    for relation in (state.private_new, state.private_old):
        if relation is not None and relation.is_table:
            for key in foreign_keys.found(run, relation):
                yield foreign_keys.taking_off("settle", state.pair, private(relation.name), key.name)
    if is_merged(look, state):
        yield doubting(forth, free_name(run.session, state.pair.new))
    remembered = _remembering(run.session, forth, state)
    if remembered.then:
        yield remembered
