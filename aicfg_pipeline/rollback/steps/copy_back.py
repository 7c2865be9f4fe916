"""Step 1: the shadow. Table, change log, copy in pieces, indexes, replay; each in a transaction that records itself.

Killed anywhere, it goes on from there. A shadow of an older attempt (other DDL, other columns, other new table) is
recognised and made anew. Comparing does not belong here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import GateError, StateError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback import own
from aicfg_pipeline.rollback.run import Measure, Run, at_work, index_progress
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, UNDOABLE, PairState, State
from aicfg_pipeline.rollback.steps import instant
from aicfg_pipeline.rollback.tables import change_log, ddl, foreign_keys, grants, pieces
from aicfg_pipeline.rollback.tables.catch_up import COPY_SETTINGS, Replay, catch_up, replay_once, vacuuming
from aicfg_pipeline.rollback.tables.fitting import rows_must_fit
from aicfg_pipeline.rollback.tables.parked import setting_aside, without_parked
from aicfg_pipeline.rollback.tables.pieces import Pages
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.rollback.tables.shadows import identity_of, why_stale
from aicfg_pipeline.rollback.tables.sources import back_way, shadow_source
from aicfg_pipeline.rollback.work import Work, begun, carry_out

STEP = "copy_back"
IF_WORTH_IT = "it was never vacuumed, or a tenth of the rows was replayed since"
INDEX_SETTINGS = {"synchronous_commit": "off", "maintenance_work_mem": "256MB"}


def copy_back(run: Run, old: str) -> dict[str, Any]:
    """Make or finish the shadow of one pair. Returns rows, seconds and keys replayed. Raises `StateError`."""
    state = run.look()[old]
    if state.state in (*UNDOABLE, State.ROLLED_BACK, State.NEVER_MIGRATED):
        run.say(f"{old}: nothing to copy back ({state.state}: {state.because})")
        return {"state": str(state.state), "skipped": True}
    if state.state not in TO_ROLL_BACK:
        raise StateError(f"{old}: can't be rolled back: {state.because}.", expected="the new table to be there")
    decision = instant.way_of(run)
    if decision.instant:
        return instant.build_ahead(run, decision, old)
    began = time.perf_counter()
    facts: dict[str, Any] = {"state": str(state.state), "skipped": False}
    if state.state == State.MIGRATED_AGAIN:
        state = _made_way(run, state)
    state = _prepared(run, state, facts)
    _copied(run, state, facts)
    back = replay_back(run, state)
    facts["keys_replayed"] = 0
    if _done(run, state, "indexed") is None and pieces.pieces_done(run.look().ledger, state):
        # the pieces have no snapshot in common: this makes them one table
        facts["keys_replayed"] += replay_once(run, replace(back, bare=True))
    _indexed(run, state, facts)
    facts["keys_replayed"] += catch_up(run, back)
    assert state.shadow is not None
    if run.session.scalar(engine("worth_a_vacuum"), {"oid": state.shadow.oid, "replayed": facts["keys_replayed"]}):
        # outside any transaction: the shadow's own autovacuum is off until the cut-over
        carry_out(run.session, _vacuuming(state).then)
    facts["keys_replayed"] += catch_up(run, back)
    facts["seconds"] = round(time.perf_counter() - began, 3)
    run.say(
        f"{old}: {counted(facts['rows'], 'row')} copied in {facts['copy_seconds']:.2f} s, indexes in"
        f" {facts['index_seconds']:.2f} s; {counted(facts['keys_replayed'], 'change', 'changes')} replayed"
    )
    return facts


# --- the shadow and its change log -----------------------------------------------------------------------------


def remains(run: Run, state: PairState) -> str | None:
    """Say what is there of an older attempt that can't be gone on with, or None."""
    if state.shadow:
        book = run.look().ledger
        stale = why_stale(run.session, run.migration, book, state)
        done = None if stale or _done(run, state, "copied") else pieces.pieces_done(book, state)
        if done and pieces.moved(run.session, state, done):
            stale = "the new table was written anew (VACUUM FULL, CLUSTER) while it was copied in pieces"
        return f"a shadow of an older attempt is there, but {stale}" if stale else None
    has_triggers = any(catalog.our_triggers(run.session, r.oid, state.pair.change_log) for r in state.live_tables)
    return "remains of an older attempt" if state.log or has_triggers else None


def _made_way(run: Run, state: PairState) -> PairState:
    """Set aside what an earlier rollback has parked. Its rows stay, and the ledger knows by which names."""
    aside = setting_aside(run.session, state)
    with begun(run, aside.work) as session:
        session.script(aside.work.then)
        facts = {"because": state.because, "kept": list(aside.kept)}
        run.record(aside.work.step, "done", pair=state.pair.old, facts=facts)
    run.say(f"{state.pair.old}: {state.because}; that is kept as {', '.join(aside.kept)}")
    return run.look()[state.pair.old]


def _prepared(run: Run, state: PairState, facts: dict[str, Any]) -> PairState:
    because = remains(run, state)
    if because:
        run.say(f"{state.pair.old}: {because}: it is made anew")
        discard(run, state, because)
        state = run.look()[state.pair.old]
    facts["resumed"] = state.shadow is not None
    if state.shadow is None:
        _prepare(run, state)
        return run.look()[state.pair.old]
    run.say(f"{state.pair.old}: going on with the shadow that is there")
    return state


def _prepare(run: Run, state: PairState) -> None:
    pair = state.pair
    identity = identity_of(run.session, run.migration, state)
    with scratch_table(run.session, run.migration, pair.old_ddl, pair.old) as model:
        preparing = _preparing(run, state, model)

    def work() -> None:
        with begun(run, preparing) as session:
            session.script(preparing.then)
            shadow = _made(session, pair.old)
            run.record(STEP, "prepared", pair=pair.old, facts={"shadow_oid": shadow.oid, "identity": identity})

    run.with_locks(work, what=f"{pair.old}: change log", oids=[r.oid for r in state.live_tables])


def _made(session: Session, old: str) -> Relation:
    place = (session.private_schema, old)
    return catalog.relations(session, [place])[place]


def discard(run: Run, state: PairState, because: str) -> None:
    """Take away a shadow, its change log and the triggers: nothing but the ledger is left of the attempt."""
    pair = state.pair
    if state.shadow:  # a shadow has none; what an undo has left has some, and its drop would lock all they refer to
        foreign_keys.take_off(run, pair, state.shadow, step=STEP)

    taking = discarding(run, state)

    def work() -> None:
        with begun(run, taking) as session:
            session.script(taking.then)
            run.record(STEP, "discarded", pair=pair.old, facts={"because": because})

    run.with_locks(work, what=f"{pair.old}: discarding the shadow", oids=[r.oid for r in state.live_tables])


# --- rows and indexes ------------------------------------------------------------------------------------------


def _done(run: Run, state: PairState, outcome: str) -> dict[str, Any] | None:
    """Return the facts of a phase of this very shadow that is already done, or None."""
    assert state.shadow is not None
    for entry in reversed(run.look().ledger.entries):
        if entry.step == "copy_back" and entry.pair == state.pair.old and entry.outcome == outcome:
            return dict(entry.facts) if entry.facts.get("shadow_oid") == state.shadow.oid else None
    return None


def _copied(run: Run, state: PairState, facts: dict[str, Any]) -> None:
    done = _done(run, state, "copied")
    if done is None:
        assert state.shadow is not None
        copying = _copying(run, state, state.shadow)
        left = pieces.left_to_copy(run.session, run.look().ledger, state)
        with at_work(run, f"{state.pair.old}: copying", _copied_so_far(state)):
            while done is None:
                left, done = _piece(run, state, copying, left)
    facts.update(rows=done["rows"], copy_seconds=done["copy_seconds"])


def _piece(run: Run, state: PairState, copying: Work, left: Pages | None) -> tuple[Pages | None, dict[str, Any] | None]:
    """Copy the next piece; return what is left, and the facts of the whole copy once it was the last."""
    assert state.shadow is not None
    began = time.perf_counter()
    of_shadow = {"shadow_oid": state.shadow.oid}
    with begun(run, copying) as session:
        if left is not None:
            pieces.begin_piece(session, left)
        rows, seconds = carry_out(session, copying.then), round(time.perf_counter() - began, 3)
        if left is None:
            done = {**of_shadow, "rows": rows, "copy_seconds": seconds}
        else:
            _must_not_have_moved(session, state, left)
            left = left.after(rows, seconds)
            if left.first < left.end and not pieces.emptied(session, state):
                run.record(STEP, pieces.OUTCOME, pair=state.pair.old, facts={**of_shadow, **left.facts})
                return left, None
            done = {**of_shadow, "rows": left.rows, "copy_seconds": left.seconds}
        run.record(STEP, "copied", pair=state.pair.old, facts=done)
    return left, done


def _must_not_have_moved(session: Session, state: PairState, left: Pages) -> None:
    """What this piece has read is locked against that until it is recorded. Raises `GateError`."""
    if pieces.moved(session, state, left):
        raise GateError(
            f"{state.new_table.name} was written anew (VACUUM FULL, CLUSTER) while it was copied in pieces: its rows have"
            " moved, and no change log has that. Nothing has changed for anyone.",
            remedy="Run the same job again: it makes the shadow anew.",
        )


def _indexed(run: Run, state: PairState, facts: dict[str, Any]) -> None:
    done = _done(run, state, "indexed")
    if done is None:
        assert state.shadow is not None
        indexing = _indexing(run, state, state.shadow)
        began = time.perf_counter()
        measure = index_progress(run)
        with (
            at_work(run, f"{state.pair.old}: indexes", measure),
            rows_must_fit(state.pair.old),
            begun(run, indexing) as session,
        ):
            carry_out(session, indexing.then)
            done = {"shadow_oid": state.shadow.oid, "index_seconds": round(time.perf_counter() - began, 3)}
            run.record(STEP, "indexed", pair=state.pair.old, facts=done)
    facts["index_seconds"] = done["index_seconds"]


def _copied_so_far(state: PairState) -> Measure:
    """Return what measures a copy in progress: how large the shadow has grown."""
    assert state.shadow is not None
    oid, live = state.shadow.oid, [r.oid for r in state.live_tables]

    def size(other: Session, *oids: int) -> int:
        return sum(other.scalar(engine("relation_bytes"), {"oid": o}) or 0 for o in oids)

    def measure(other: Session) -> str:
        done, whole = size(other, oid), max(size(other, *live), 1)
        return f"{done / 2**20:,.0f} MiB of about {whole / 2**20:,.0f} MiB ({min(99, 100 * done // whole)} %)"

    return measure


# --- catching up -----------------------------------------------------------------------------------------------


def replay_back(run: Run, state: PairState, model: Relation | None = None) -> Replay:
    """Return how a shadow is brought up to date with its live rows."""
    pair, source, shadow = state.pair, shadow_source(run.session, state, model), private(state.pair.old)

    def make(whole_table: bool) -> list[sql.Composable]:
        return change_log.replay_statements(pair, source, shadow, whole_table=whole_table)

    return Replay(pair, STEP, source.tables, shadow, make)


# --- what it does, as data -------------------------------------------------------------------------------------


def works(run: Run, state: PairState, model: Relation) -> Iterator[Work]:
    """Yield what this step does from where the pair is. `model` is the shadow, or a table made like it."""
    if state.state == State.MIGRATED_AGAIN:
        yield setting_aside(run.session, state).work
        state = without_parked(state)
    there = state.shadow is not None
    if remains(run, state):
        there = False
        yield discarding(run, state)
    if not there:
        yield _preparing(run, state, model)
    if not there or _done(run, state, "copied") is None:
        yield _copying(run, state if there else replace(state, private_old=None), model)
    indexed = there and _done(run, state, "indexed") is not None
    replaying = replay_back(run, state, model).work()
    if not indexed:
        if pieces.in_pieces(run.session, run.look().ledger, state if there else replace(state, private_old=None)):
            yield replaying
        yield _indexing(run, state, model)
    yield replaying
    yield replace(_vacuuming(state), provided=IF_WORTH_IT) if indexed else _vacuuming(state)
    yield replaying


def discarding(run: Run, state: PairState) -> Work:
    """Return what takes away a shadow, its change log and the triggers."""
    off: list[sql.Composable] = []
    for relation in state.live_tables:
        have = catalog.our_triggers(run.session, relation.oid, state.pair.change_log)
        detach = change_log.detach_statements(ident(relation.schema, relation.name))
        off += [statement for name, statement in zip(change_log.TRIGGERS, detach, strict=True) if name in have]
    if state.log:
        off += change_log.drop_statements(state.pair, before_undo=state.before_undo is not None)
    if state.shadow:
        off.append(engine("drop_table", table=private(state.pair.old)))
    does = "what is left of an older attempt goes"
    return Work(STEP, state.pair.old, does, then=off, outcome="discarded")


def _preparing(run: Run, state: PairState, model: Relation) -> Work:
    """Return how shadow and log are made. `model` is made like the shadow."""
    pair, live = state.pair, [ident(r.schema, r.name) for r in state.live_tables]
    owner = own.on_behalf_of(run.session, state.new_table.owner)
    keys = back_way(run.session, pair, model, state.new_table).keys
    return Work(
        STEP,
        pair.old,
        "make the shadow, and the log of what is written from now on",
        before=[
            *ddl.statements(pair.old_ddl, "table"),
            engine("no_autovacuum", table=private(pair.old)),
            *grants.given(owner, run.session.private_schema, pair.old),
            *change_log.create_statements(pair, keys),
            *own.keep([pair.change_log], owner, others=[pair.old], schema=run.session.private_schema),
        ],
        locks=[engine("lock_for_trigger", tables=comma(live))],
        then=[s for table in live for s in change_log.attach_statements(pair, table)],
        search_path=ddl.building_path(run),
        outcome="prepared",
    )


def _copying(run: Run, state: PairState, model: Relation) -> Work:
    source = shadow_source(run.session, state, model)
    left = pieces.foreseen(run.session, run.look().ledger, state)
    rows = source.query if left is None else pieces.piece_source(run.session, state, model)
    copy = engine("copy_rows", target=private(state.pair.old), columns=columns(source.columns), source=rows)
    does = "copy all rows"
    if left is not None:
        told = counted(left.pieces, "piece")
        does += f": {told} of at most 64 MiB, each in a transaction of its own that goes like this one"
    return Work(STEP, state.pair.old, does, then=[copy], settings=COPY_SETTINGS, outcome="copied")


def _indexing(run: Run, state: PairState, model: Relation) -> Work:
    pair = state.pair
    return Work(
        STEP,
        pair.old,
        "make what is quicker to make once the rows are in",
        then=[
            *ddl.statements(pair.old_ddl, "indexes", "row_level_security", "comments"),
            *grants.own_grants(run.session, pair.old_ddl, run.session.private_schema, model, state.live_tables),
        ],
        search_path=ddl.building_path(run),
        settings=INDEX_SETTINGS,
        outcome="indexed",
    )


def _vacuuming(state: PairState) -> Work:
    return vacuuming(STEP, state.pair, private(state.pair.old))
