"""Step 1: the shadow. Table, change log, copy, indexes, replay; each in a transaction of its own that records itself.

Killed anywhere, it goes on from there. A shadow of an older attempt (other DDL, other columns, other new table) is
recognised and made anew. Comparing does not belong here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import PipelineError, StateError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.locks import take_locks
from aicfg_pipeline.postgres.session import observer
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident, private
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, PairState, State
from aicfg_pipeline.rollback.tables import change_log, ddl, foreign_keys
from aicfg_pipeline.rollback.tables.catch_up import COPY_SETTINGS, PROGRESS_SECONDS, Replay, catch_up
from aicfg_pipeline.rollback.tables.sources import shadow_source
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA

STEP = "copy_back"
INDEX_SETTINGS = {"synchronous_commit": "off", "maintenance_work_mem": "256MB"}


def copy_back(run: Run, old: str) -> dict[str, Any]:
    """Make or finish the shadow of one pair. Returns rows, seconds and keys replayed. Raises `StateError`."""
    state = run.look()[old]
    if state.state in (State.CUT_OVER, State.ROLLED_BACK, State.NEVER_MIGRATED):
        run.say(f"{old}: nothing to copy back ({state.state}: {state.because})")
        return {"state": str(state.state), "skipped": True}
    if state.state not in TO_ROLL_BACK:
        raise StateError(f"{old}: can't be rolled back: {state.because}.", expected="the new table to be there")
    began = time.perf_counter()
    facts: dict[str, Any] = {"state": str(state.state), "skipped": False}
    state = _prepared(run, state, facts)
    _copied(run, state, facts)
    _indexed(run, state, facts)
    back = replay_back(run, state)
    facts["keys_replayed"] = catch_up(run, back)
    _vacuumed(run, state)
    facts["keys_replayed"] += catch_up(run, back)
    facts["seconds"] = round(time.perf_counter() - began, 3)
    run.say(
        f"{old}: {facts['rows']:,} rows copied in {facts['copy_seconds']:.2f} s, indexes in {facts['index_seconds']:.2f} s,"
        f" {facts['keys_replayed']:,} entries of the change log replayed"
    )
    return facts


# --- the shadow and its change log -----------------------------------------------------------------------------


def shadow_identity(run: Run, state: PairState) -> dict[str, Any]:
    """Return what a shadow must have been made from to be trusted."""
    return {
        "old_ddl": state.pair.old_ddl.digest,
        "migration": run.migration.digest,
        "live": {
            r.name: [r.oid, [[c.name, c.type] for c in catalog.columns(run.session, r.oid)]] for r in state.live_tables
        },
    }


def why_stale(run: Run, state: PairState) -> str | None:
    """Say why a shadow that is there can't be trusted, or None."""
    assert state.shadow is not None
    made = run.look().ledger.last("copy_back", pair=state.pair.old, outcome="prepared")
    if made is None or made.facts.get("shadow_oid") != state.shadow.oid:
        return "the ledger does not know it"
    swap = foreign_keys.last_swap(run.look().ledger, state.pair)
    if swap is not None and swap.id > made.id:
        return "it was in use as the old table since, and is what an undo has left"
    if state.log is None:
        return "its change log is gone"
    if made.facts.get("identity") != shadow_identity(run, state):
        return "the new table or the migration's files have changed since"
    for relation in state.live_tables:
        triggers = catalog.our_triggers(run.session, relation.oid)
        if any(triggers.get(t) != "A" for t in change_log.TRIGGERS):
            return f"the change log's triggers on {relation.name} are gone or disabled"
    return None


def _prepared(run: Run, state: PairState, facts: dict[str, Any]) -> PairState:
    stale = why_stale(run, state) if state.shadow else None
    if stale:
        run.say(f"{state.pair.old}: a shadow of an older attempt is there, but {stale}: it is made anew")
    if stale or (state.shadow is None and (state.log or _has_triggers(run, state))):
        discard(run, state, stale or "remains of an older attempt")
        state = run.look()[state.pair.old]
    if state.shadow is None:
        _prepare(run, state)
        state = run.look()[state.pair.old]
        facts["resumed"] = False
    else:
        run.say(f"{state.pair.old}: going on with the shadow that is there")
        facts["resumed"] = True
    return state


def _has_triggers(run: Run, state: PairState) -> bool:
    return any(catalog.our_triggers(run.session, r.oid) for r in state.live_tables)


def _prepare(run: Run, state: PairState) -> None:
    pair = state.pair
    live = [ident(r.schema, r.name) for r in state.live_tables]
    identity = shadow_identity(run, state)
    oids = [r.oid for r in state.live_tables]
    lock = engine("lock_for_trigger", tables=comma(live))

    def work() -> None:
        with run.writing(search_path=ddl.building_path(run)) as session:
            ddl.run_block(session, pair.old_ddl, "table")
            session.execute(engine("no_autovacuum", table=private(pair.old)))
            session.script(change_log.create_statements(pair, live[0]))
            take_locks(session, [lock])
            session.script([s for table in live for s in change_log.attach_statements(pair, table)])
            shadow = catalog.relations(session, [(PRIVATE_SCHEMA, pair.old)])[PRIVATE_SCHEMA, pair.old]
            run.record("copy_back", "prepared", pair=pair.old, facts={"shadow_oid": shadow.oid, "identity": identity})

    run.with_locks(work, what=f"{pair.old}: change log", oids=oids)


def discard(run: Run, state: PairState, because: str) -> None:
    """Take away a shadow, its change log and the triggers: nothing but the ledger is left of the attempt."""
    pair = state.pair
    live = state.live_tables
    if state.shadow:  # a shadow has none; what an undo has left has some, and its drop would lock all they refer to
        foreign_keys.take_off(run, pair, state.shadow, step="copy_back")

    def work() -> None:
        with run.writing() as session:
            for relation in live:
                have = catalog.our_triggers(session, relation.oid)
                table = ident(relation.schema, relation.name)
                names = zip(change_log.TRIGGERS, change_log.detach_statements(table), strict=True)
                session.script([statement for name, statement in names if name in have])
            if state.log:
                session.script(change_log.drop_statements(pair))
            if state.shadow:
                session.execute(engine("drop_table", table=private(pair.old)))
            run.record("copy_back", "discarded", pair=pair.old, facts={"because": because})

    run.with_locks(work, what=f"{pair.old}: discarding the shadow", oids=[r.oid for r in live])


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
        source = shadow_source(run.session, state)
        began = time.perf_counter()
        with (
            _progress(run, state),
            run.writing(settings=COPY_SETTINGS) as session,
        ):
            statement = engine(
                "copy_rows", target=private(state.pair.old), columns=columns(source.columns), source=source.query
            )
            done = {"shadow_oid": state.shadow.oid, "rows": session.execute(statement).rowcount}
            done["copy_seconds"] = round(time.perf_counter() - began, 3)
            run.record("copy_back", "copied", pair=state.pair.old, facts=done)
    facts.update(rows=done["rows"], copy_seconds=done["copy_seconds"])


def _indexed(run: Run, state: PairState, facts: dict[str, Any]) -> None:
    done = _done(run, state, "indexed")
    if done is None:
        assert state.shadow is not None
        began = time.perf_counter()
        with run.writing(search_path=ddl.building_path(run), settings=INDEX_SETTINGS) as session:
            ddl.run_blocks(session, state.pair.old_ddl, "indexes", "row_level_security", "comments")
            ddl.only_own_grants(session, state.pair.old_ddl, private(state.pair.old), state.shadow.oid)
            done = {"shadow_oid": state.shadow.oid, "index_seconds": round(time.perf_counter() - began, 3)}
            run.record("copy_back", "indexed", pair=state.pair.old, facts=done)
    facts["index_seconds"] = done["index_seconds"]


@contextmanager
def _progress(run: Run, state: PairState) -> Iterator[None]:
    """While one statement copies, say from a second connection how large the shadow has grown."""
    assert state.shadow is not None
    oid, live = state.shadow.oid, [r.oid for r in state.live_tables]
    ended = threading.Event()

    def watch() -> None:
        if ended.wait(PROGRESS_SECONDS):
            return
        # a second connection that is not to be had, or breaks, is no reason to disturb the copy
        with suppress(PipelineError), observer(run.session) as other:
            whole = max(sum(other.scalar(engine("relation_bytes"), {"oid": o}) or 0 for o in live), 1)
            while not ended.wait(PROGRESS_SECONDS):
                size = other.scalar(engine("relation_bytes"), {"oid": oid}) or 0
                run.say(
                    f"{state.pair.old}: copying, {size / 2**20:,.0f} MiB of about {whole / 2**20:,.0f} MiB"
                    f" ({min(99, 100 * size // whole)} %)"
                )

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)


# --- catching up -----------------------------------------------------------------------------------------------


def replay_back(run: Run, state: PairState) -> Replay:
    """Return how a shadow is brought up to date with its live rows."""
    pair, source, shadow = state.pair, shadow_source(run.session, state), private(state.pair.old)

    def make(whole_table: bool) -> list[sql.Composable]:
        return change_log.replay_statements(pair, source, shadow, whole_table=whole_table)

    return Replay(pair, STEP, source.tables, shadow, make)


def _vacuumed(run: Run, state: PairState) -> None:
    """Vacuum outside any transaction: the shadow's own autovacuum is off until the cut-over."""
    run.session.execute(engine("vacuum", table=private(state.pair.old)))
