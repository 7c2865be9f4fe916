"""Step 5, for good: export the parked tables, compare once more, drop them with logs and triggers. The ledger stays.

Refuses before the retention ends (unless told), while something still depends on what is parked, while a gate fails,
and where the export can't be written or read back. CASCADE is never used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import GateError, StateError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.statements import comma, engine, ident, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback import ledger, own
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import UNRECORDED, PairState, State
from aicfg_pipeline.rollback.steps import instant_undo
from aicfg_pipeline.rollback.steps.verify import gate
from aicfg_pipeline.rollback.tables import change_log, foreign_keys
from aicfg_pipeline.rollback.tables.comparison import Comparison, compare_parked, comparison_statements, parked_sides
from aicfg_pipeline.rollback.tables.dependents import find_dependents
from aicfg_pipeline.rollback.tables.export import export_table
from aicfg_pipeline.rollback.tables.parked import parked_relations, still_retained
from aicfg_pipeline.rollback.work import Work, begun
from aicfg_pipeline.store.kept import Store

STEP = "drop"


def drop_new_tables(
    run: Run, store: Store, checks: Sequence[Check], *, before_retention_ends: bool = False
) -> dict[str, Any]:
    """Export and drop what is parked. `checks` are those of this moment; one that fails stops the drop.

    All pairs or none: first every export, then one transaction. Returns facts per pair. Raises `GateError`,
    `ExportError` or `LockTimeoutError`; then all parked tables are kept.
    """
    look = run.look()
    states, earlier, book = look.in_state(State.CUT_OVER), look.in_state(State.MIGRATED_AGAIN), look.ledger
    renamed = look.in_state(State.RENAMED)
    if not states and not earlier and not renamed:
        run.say("drop: nothing is parked")
        return {}
    _must_be_recorded(book, [*states, *earlier])
    if not before_retention_ends:
        _retention_over(book, [*states, *earlier, *renamed])
    gone = _drop_earlier(run, earlier, store) if earlier else {}
    if not states and not renamed:
        return gone
    gate(checks, remedy="Nothing was dropped. Mend what the checks name, or go back with the job undo_rollback.")
    _no_dependents(run, [*states, *renamed])
    if renamed:
        gone |= instant_undo.drop(run, renamed)
    if not states:
        return gone
    exports = {s.pair.old: _exported(run, s, store) for s in states}

    def work() -> dict[str, dict[str, Any]]:
        return _drop_once(run, states, exports)

    oids = [r.oid for s in states for r in (s.at_old_name, *_parked(run, s)) if r is not None]
    done, _ = run.with_locks(work, what="drop", oids=oids)
    for old, facts in done.items():
        files = ", ".join(PurePosixPath(e["file"]).name for e in facts["exports"])
        run.say(f"{old}: {', '.join(facts['dropped'])} dropped; export: {files}")
    return {**gone, **done}


def _drop_earlier(run: Run, states: Sequence[PairState], store: Store) -> dict[str, dict[str, Any]]:
    """Export and drop what is parked of pairs that others have migrated again: there is nothing to compare it with."""
    _no_dependents(run, states)
    exports = {s.pair.old: _exported(run, s, store) for s in states}

    def work() -> dict[str, dict[str, Any]]:
        dropping = _dropping_earlier(run, states)
        done = {}
        with begun(run, dropping) as session:
            for s in states:
                names = [r.name for r in _parked_tables(run, s)]
                done[s.pair.old] = {"dropped": names, "exports": exports[s.pair.old], "migrated_again": True}
            session.script([*dropping.then, *own.leave_schema(session)])
            for old, facts in done.items():
                run.record(STEP, "done", pair=old, facts=facts)
        return done

    oids = [r.oid for s in states for r in (s.new_table, *_parked(run, s))]
    done, _ = run.with_locks(work, what="drop", oids=oids)
    run.say(f"drop: {', '.join(done)}: migrated again by others; what was parked before that is exported and dropped")
    return done


def _dropping_earlier(run: Run, states: Sequence[PairState]) -> Work:
    statements: list[sql.Composable] = []
    for state in states:
        for relation in state.live_tables:
            if catalog.our_triggers(run.session, relation.oid, state.pair.change_log):
                statements += change_log.detach_statements(ident(relation.schema, relation.name))
        statements += _dropped_relations(run, state)
        if state.log is not None:
            statements += change_log.drop_statements(state.pair, before_undo=state.before_undo is not None)
    return Work(
        STEP,
        None,
        "what an earlier rollback has parked goes; the exports have been read back before",
        locks=[engine("lock_exclusively", tables=comma(private(r.name) for s in states for r in _parked(run, s)))],
        then=statements,
        brief=True,
        outcome="done",
    )


def _dropped_relations(run: Run, state: PairState) -> list[sql.Composable]:
    return [
        engine("drop_view", view=private(r.name)) if r.is_view else engine("drop_table", table=private(r.name))
        for r in _parked(run, state)
    ]


def _must_be_recorded(book: Ledger, states: Sequence[PairState]) -> None:
    unknown = [s for s in states if book.last("cut_over", pair=s.pair.old, outcome="done") is None]
    if unknown:
        raise StateError(
            "The parked tables can't be dropped: the ledger does not know how they came there. Nothing was dropped.",
            complaints=[f"{s.pair.old}: {UNRECORDED.format(parked=s.parked)}" for s in unknown],
            expected="a row of the cut-over in aicfg_rollback.ledger, which also says until when they are kept",
            remedy="Bring the ledger's rows back from a backup, then launch the job again.",
        )


def _retention_over(book: Ledger, states: Sequence[PairState]) -> None:
    waiting = still_retained(book, states)
    if waiting:
        raise GateError(
            "The parked tables are kept until their retention ends.",
            complaints=[f"{old}: until {until:%Y-%m-%d %H:%M:%S} UTC" for old, until in waiting.items()],
            remedy="Wait, or set before_retention_ends: true in the config of drop_new_tables. Undo is possible only"
            " while the tables are parked.",
        )


def _parked(run: Run, state: PairState) -> list[Relation]:
    return parked_relations(run.session, ledger.read(run.session, run.migration, there=True), state)


def _no_dependents(run: Run, states: Sequence[PairState]) -> None:
    oids = [r.oid for s in states for r in _parked(run, s)]
    found = find_dependents(run.session, oids)
    if found:
        raise GateError(
            "Something still refers to the parked tables or views; it reads stale rows. Nothing was dropped.",
            complaints=[f"{f.kind} {f.name}" for f in found],
            remedy="Point each at the old table or drop it, then run the job drop_new_tables.",
        )


def _exported(run: Run, state: PairState, store: Store) -> list[dict[str, Any]]:
    for relation in _parked_tables(run, state):  # a key that is left would have the drop lock what it refers to
        foreign_keys.take_off(run, state.pair, relation)
    exports = []
    for relation in _parked_tables(run, state):
        run.say(f"{relation.name}: exporting to {store.name}")
        exports.append(export_table(run.session, relation, store, relation.name, run.run_id).facts)
    return exports


def _parked_tables(run: Run, state: PairState) -> list[Relation]:
    return [r for r in _parked(run, state) if r.is_table]


def _drop_once(
    run: Run, states: Sequence[PairState], exports: Mapping[str, list[dict[str, Any]]]
) -> dict[str, dict[str, Any]]:
    """One transaction for all pairs: compare under lock, then drop. Only the removal of triggers locks the old tables."""
    done = {}
    with begun(run, _dropping(run, states)) as session:
        proven = {s.pair.old: compare_parked(session, s, in_transaction=True) for s in states}
        for old, found in proven.items():
            _still_proven(old, found)
        for state in states:
            pair, found = state.pair, proven[state.pair.old]
            written = change_log.size(session, pair)
            done[pair.old] = {
                **found.facts,
                "rows_before": found.before.rows,
                "rows_after": found.after.rows,
                "unexplained_rows": found.differences.unexplained,
                "keys_written_since": written.keys,
                "dropped": [r.name for r in _parked_tables(run, state)],
                "exports": exports[pair.old],
            }
        session.script([*_drops(run, states), *own.leave_schema(session)])
        for old, facts in done.items():
            run.record(STEP, "done", pair=old, facts=facts)
    return done


def _still_proven(old: str, found: Comparison) -> None:
    if not found.proven:
        keys = ", ".join(str(s["key"]) for s in found.differences.sample[:5])
        raise GateError(
            f"{old}: {counted(found.differences.unexplained, 'row')} unlike the parked table without an entry in the change"
            f" log: {keys}. Nothing was dropped.",
            remedy="Find out who changed them past the triggers, or go back with the job undo_rollback.",
        )


# --- what it does, as data -------------------------------------------------------------------------------------


def works(run: Run, states: Sequence[PairState]) -> Iterator[Work]:
    """Yield what this step does with pairs, after the export of their parked tables."""
    earlier = [s for s in states if s.state == State.MIGRATED_AGAIN]
    if earlier:
        yield _dropping_earlier(run, earlier)
    yield from instant_undo.drop_works([s for s in states if s.state == State.RENAMED])
    states = [s for s in states if s.state not in (State.MIGRATED_AGAIN, State.RENAMED)]
    if states:
        proofs = [p for s in states for p in _proofs(run, s)]
        yield replace(_dropping(run, states), then=[*proofs, *_drops(run, states), *own.leave_schema(run.session)])


def _proofs(run: Run, state: PairState) -> list[sql.Composable]:
    source, target = parked_sides(run.session, state)
    hashable = not catalog.unhashable_columns(run.session, state.old_table.oid)
    return comparison_statements(source, target, state.pair.key, private(state.pair.change_log), hashable=hashable)


def _dropping(run: Run, states: Sequence[PairState]) -> Work:
    tables = comma(private(r.name) for s in states for r in _parked(run, s))
    return Work(
        STEP,
        None,
        "compare once more, under lock, then drop all or nothing; the exports have been read back before",
        locks=[engine("lock_exclusively", tables=tables)],
        snapshot=True,
        brief=True,
        outcome="done",
    )


def _drops(run: Run, states: Sequence[PairState]) -> list[sql.Composable]:
    """First the triggers of all old tables: who writes into one may wait for another one that we hold, and hold up both."""
    return [
        *(d for s in states for d in change_log.detach_statements(ident(s.old_table.schema, s.old_table.name))),
        *(
            d
            for s in states
            for d in (
                *_dropped_relations(run, s),
                *change_log.drop_statements(s.pair, before_undo=s.before_undo is not None),
            )
        ),
    ]
