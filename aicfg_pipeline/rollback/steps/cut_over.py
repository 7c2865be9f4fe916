"""Step 3: the swap. One short transaction for all pairs; then the foreign keys, each in a transaction of its own.

Moving a table between schemas is a catalog update. Everything that takes time has been done before, everything that
can wait is done after. Undoing the swap is `undo`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from aicfg_pipeline.errors import GateError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.locks import CUT_OVER_LOCK_TIMEOUT_MS
from aicfg_pipeline.postgres.statements import comma, engine, ident, private, text
from aicfg_pipeline.rollback.checks.visibility import visible_rows_facts
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look, PairState, State
from aicfg_pipeline.rollback.steps.copy_back import replay_back
from aicfg_pipeline.rollback.tables import change_log, ddl, foreign_keys, sequences
from aicfg_pipeline.rollback.tables.catch_up import Replay, catch_up_for_swap
from aicfg_pipeline.rollback.tables.ddl import SWAP
from aicfg_pipeline.rollback.tables.swap import UnderLocks
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA


def cut_over(run: Run) -> dict[str, Any]:
    """Swap every proven pair in one transaction, then settle the foreign keys. Returns locks held in milliseconds.

    Raises `GateError` where a shadow is not proven and `LockTimeoutError` where the locks are not to be had; in both
    cases nothing has changed.
    """
    look = run.look()
    states = look.in_state(State.COPYING)
    facts: dict[str, Any] = {"pairs": [s.pair.old for s in states]}
    if states:
        _must_be_proven(look, states)
        seen = {s.pair.old: visible_rows_facts(run.session, run.migration, s.pair, s.new_table) for s in states}
        facts.update(_swap(run, states, seen))
    else:
        run.say("cut over: nothing to do, no pair has a shadow")
    facts["settled"] = settle(run)
    return facts


def _must_be_proven(look: Look, states: tuple[PairState, ...]) -> None:
    unproven = []
    for state in states:
        assert state.shadow is not None
        last = look.ledger.last("compare", pair=state.pair.old)
        if last is None or last.outcome != "proven" or last.facts.get("shadow_oid") != state.shadow.oid:
            unproven.append(state.pair.old)
    if unproven:
        raise GateError(
            f"Not cut over: the comparison has not proven {', '.join(unproven)}.",
            expected="step compare to have passed for these very shadows",
            remedy="Run the job rollback again; it compares before it cuts over.",
        )


# --- the swap --------------------------------------------------------------------------------------------------


def lock_order(states: tuple[PairState, ...]) -> list[sql.Identifier]:
    """Views first, then new tables, then shadows: writers through a view lock it before its table."""
    views = [ident(s.at_old_name.schema, s.at_old_name.name) for s in states if s.at_old_name]
    return [
        *views,
        *(ident(s.new_table.schema, s.new_table.name) for s in states),
        *(private(s.pair.old) for s in states),
    ]


def _oids(states: tuple[PairState, ...]) -> list[int]:
    relations = [r for s in states for r in (s.at_old_name, s.at_new_name, s.private_old) if r is not None]
    return [r.oid for r in relations]


def _swap(run: Run, states: tuple[PairState, ...], seen: Mapping[str, Any]) -> dict[str, Any]:
    """Swap, with retries. `seen` is who saw what before, for the check `visible_rows`."""
    replays = [replay_back(run, s) for s in states]
    referred = catalog.relations(run.session, {k.references for s in states for k in s.pair.old_ddl.foreign_keys})
    oids = [*_oids(states), *(r.oid for r in referred.values())]
    timing: dict[str, Any] = {}

    moves = [*(a for s in states for a in _advances(run, s)), *move_statements(states)]

    def work() -> None:
        catch_up_for_swap(run, replays, oids)
        _swap_once(run, states, replays, moves, seen, timing)

    report = run.with_locks(work, what="cut over", oids=oids)
    timing.update(lock_attempts=report.attempts, blockers=report.blockers)
    run.say(
        f"cut over: {', '.join(s.pair.old for s in states)} are tables again; all locks held for"
        f" {timing['locks_held_ms']:.1f} ms, {timing['keys_replayed']} entries replayed under them,"
        f" {report.attempts} attempt(s)"
    )
    return timing


def _swap_once(
    run: Run,
    states: tuple[PairState, ...],
    replays: Sequence[Replay],
    moves: list[sql.Composable],
    seen: Mapping[str, Any],
    timing: dict[str, Any],
) -> None:
    with run.writing(search_path=ddl.building_path(run), lock_timeout_ms=CUT_OVER_LOCK_TIMEOUT_MS) as session:
        keys = [text(k) for s in states for k in ddl.statements(s.pair.old_ddl, "foreign_keys")]
        # the keys first, while no reader or writer of these tables waits for us
        locks = [*keys, engine("lock_exclusively", tables=comma(lock_order(states)))]
        under_locks = UnderLocks(session, locks, replays)
        statements = [*under_locks.replay, *moves]
        session.note(statements)  # before they run: their ledger rows are written in the same round trip
        rows = _swap_rows(run, states, seen, under_locks.entries)
        session.script([*statements, *rows], note=False)
    timing["locks_held_ms"] = under_locks.held_ms()
    timing["keys_replayed"] = under_locks.entries


def _advances(run: Run, state: PairState) -> list[sql.Composable]:
    assert state.shadow is not None
    return sequences.advance_statements(run.session, state.new_table, state.shadow)


def _swap_rows(run: Run, states: tuple[PairState, ...], seen: Mapping[str, Any], replayed: int) -> list[sql.Composable]:
    """Return the ledger's rows about the swap."""
    rows: list[sql.Composable] = []
    until = datetime.now(UTC) + timedelta(days=run.settings.retain_days)
    for state in states:
        facts = {
            "new_table": state.pair.new,
            "superseded": state.superseded is not None,
            "view": bool(state.at_old_name and state.at_old_name.is_view),
            "retain_until": until.isoformat(),
            "retain_days": run.settings.retain_days,
            "api_notified": True,
            "keys_replayed": replayed,
            "visible_rows": seen[state.pair.old],
        }
        with_time = engine("facts_with_lock_time", facts=sql.Literal(Jsonb(facts)))
        rows.append(run.record_statement("cut_over", "done", pair=state.pair.old, facts=with_time))
    return rows


def move_statements(states: tuple[PairState, ...]) -> list[sql.Composable]:
    """The swap itself: what changes in the catalog for all pairs, and word of it to PostgREST."""
    return [
        engine("create_swap_schema"),
        *(s for state in states for s in (*_dressed(state), *_moved(state))),
        engine("drop_swap_schema"),
        engine("reload_api"),
    ]


def _dressed(state: PairState) -> list[sql.Composable]:
    """The shadow gets its triggers, the change log moves from the live tables to it, autovacuum comes back."""
    shadow = private(state.pair.old)
    triggers = state.pair.old_ddl.blocks.get("triggers")
    return [
        *(s for r in state.live_tables for s in change_log.detach_statements(ident(r.schema, r.name))),
        *(text(s) for s in (triggers.statements if triggers else ())),
        *change_log.attach_statements(state.pair, shadow),
        engine("autovacuum_again", table=shadow),
    ]


def _moved(state: PairState) -> list[sql.Composable]:
    """The swap of one pair, through a schema that exists only inside this transaction."""
    new, pair = state.new_table, state.pair
    schema, mine, swap = ident(new.schema), ident(PRIVATE_SCHEMA), ident(SWAP)
    at_old = state.at_old_name
    block = "view_to_schema" if at_old and at_old.is_view else "table_to_schema"
    part = "view" if at_old and at_old.is_view else "table"
    away: list[sql.Composable] = []
    back: list[sql.Composable] = []
    if at_old:
        away = [engine(block, **{part: ident(new.schema, pair.old)}, schema=swap)]
        back = [engine(block, **{part: ident(SWAP, pair.old)}, schema=mine)]
    return [
        *away,
        engine("table_to_schema", table=private(pair.old), schema=schema),
        engine("table_to_schema", table=ident(new.schema, pair.new), schema=mine),
        *back,
    ]


# --- what can wait ---------------------------------------------------------------------------------------------


def settle(run: Run) -> dict[str, Any]:
    """Take the foreign keys off parked tables, validate those of the old tables. Does nothing where that is done.

    Until a parked table's foreign keys are off, deleting a user that only a parked row refers to would be refused
    because of us. Their definitions stay in the ledger, for undo.
    """
    done: dict[str, Any] = {}
    for state in run.look().in_state(State.CUT_OVER):
        removed = _parked_keys_removed(run, state)
        validated = _validated(run, state)
        if removed or validated:
            done[state.pair.old] = {"foreign_keys_taken_off": removed, "validated": validated}
            run.say(
                f"{state.pair.old}: foreign keys validated: {', '.join(validated) or 'none left to do'};"
                f" taken off the parked table: {', '.join(removed) or 'none left to do'}"
            )
    return done


def _parked_keys_removed(run: Run, state: PairState) -> list[str]:
    parked = [r for r in (state.private_new, state.private_old) if r is not None and r.is_table]
    return [name for relation in parked for name in foreign_keys.take_off(run, state.pair, relation)]


def _validated(run: Run, state: PairState) -> list[str]:
    waiting = [k.name for k in catalog.foreign_keys(run.session, state.old_table.oid) if not k.validated]
    if waiting:
        with run.writing(search_path=run.search_path) as session:
            ddl.run_block(session, state.pair.old_ddl, "validate")
            run.record("settle", "validated", pair=state.pair.old, facts={"foreign_keys": waiting})
    return waiting
