"""Step 3: the swap. One short transaction for all pairs; then the foreign keys, each in a transaction of its own.

Moving a table between schemas is a catalog update. What takes time is done before. What can wait is done
after. `undo` takes the swap back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError, GateError, HazardError, LockTimeoutError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.statements import engine, ident, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback import own
from aicfg_pipeline.rollback.checks import kept, surroundings
from aicfg_pipeline.rollback.hazards import visibility
from aicfg_pipeline.rollback.hazards.hazard import Hazard
from aicfg_pipeline.rollback.hazards.rows import of_columns
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import WITH_SHADOW, Look, PairState, State
from aicfg_pipeline.rollback.steps import instant
from aicfg_pipeline.rollback.steps.copy_back import replay_back
from aicfg_pipeline.rollback.tables import (
    change_log,
    ddl,
    foreign_keys,
    grants,
    personas,
    seen_before,
    sequences,
    trigger_functions,
)
from aicfg_pipeline.rollback.tables.along import Along, along_back, settle_outside
from aicfg_pipeline.rollback.tables.losses import guards
from aicfg_pipeline.rollback.tables.outside_keys import must_be_the_same
from aicfg_pipeline.rollback.tables.sources import back_way, superseded_way
from aicfg_pipeline.rollback.tables.swap import Moving, Swap, exchange, moving, swap, within_swap_schema
from aicfg_pipeline.rollback.work import Work, begun, carry_out
from aicfg_pipeline.spec.ddl import trigger_functions as functions_of

STEP = "cut_over"


def cut_over(run: Run) -> dict[str, Any]:
    """Swap every proven pair in one transaction, then settle the foreign keys. Returns locks held in milliseconds.

    Raises `GateError` where a shadow is not proven and `LockTimeoutError` where the locks are not to be had; in both
    cases nothing has changed.
    """
    look = run.look()
    states = look.in_state(*WITH_SHADOW)
    facts: dict[str, Any] = {"pairs": [s.pair.old for s in states]}
    if states:
        _must_be_proven(look, states)
        seen = {s.pair.old: _seen_before(run, look, s) for s in states}
        facts.update(_swap(run, states, seen))
    elif (decision := instant.way_of(run, look)).instant:
        facts["pairs"] = list(decision.renamings)
        facts.update(
            instant.rename_back(run, decision, lambda s: _facts(run, s, {s.pair.old: _seen_before(run, look, s)}))
        )
    else:
        run.say("cut over: nothing to do, no pair has a shadow")
    facts["settled"] = settle(run)
    return facts


def _seen_before(run: Run, look: Look, state: PairState) -> dict[str, Any]:
    """Return what verify and undo need later: who saw what, what is around the tables, what the new table is made of."""
    session, migration, new = run.session, run.migration, state.new_table
    around = surroundings.remember(session, migration, state)
    around[kept.FACT] = kept.new_table_facts(session, migration, new)
    foretold = _must_be_seen_as_accepted(run, state)
    return {
        **seen_before.who_saw_what(session, migration, look.ledger, state, foretold),
        personas.FORETOLD: personas.as_fact(foretold),
        surroundings.FACT: around,
        trigger_functions.FACT: trigger_functions.as_facts(
            trigger_functions.former_functions(session, migration, look, state.pair)
        ),
    }


def _must_be_seen_as_accepted(run: Run, state: PairState) -> list[personas.Foretold]:
    """The plan's look at who will see what once more: a policy may have changed since. Returns what verify expects then."""
    foretold = personas.foretell(run.session, run.migration, state)
    found = visibility.of_foretold(state.pair, foretold)
    _refuse([h for h in found if h.blocks(run.settings.accept_hazards)])
    return foretold


def _refuse(blocking: list[Hazard]) -> None:
    if blocking:
        raise HazardError(
            "Not cut over: the tables have changed since the plan. Nothing has changed for anyone.",
            codes=[h.code for h in blocking],
            complaints=[h.complaint for h in blocking],
            remedy="Mend or accept what is named above, and run the job rollback again.",
        )


def _must_be_proven(look: Look, states: tuple[PairState, ...]) -> None:
    unproven = []
    for state in states:
        assert state.shadow is not None
        last = look.ledger.last("compare", pair=state.pair.old)
        if (
            last is None
            or last.outcome not in ("proven", "relied_on")
            or last.facts.get("shadow_oid") != state.shadow.oid
        ):
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
    """Swap, with retries. `seen` is what was before, for the checks to compare with."""
    facts = {s.pair.old: _facts(run, s, seen) for s in states}
    shadows = _shadows(states)
    others = _along(run, states, shadows)
    for old, fact in facts.items():
        fact.update(others.facts(run.migration.pair(old)))
    timing = swap(run, _swapping(run, states, shadows, facts, others), what="cut over")
    run.say(
        f"cut over: {', '.join(s.pair.old for s in states)} are tables again;"
        f" change log entries replayed under the locks: {timing['keys_replayed']}, attempts: {timing['lock_attempts']}"
    )
    return timing


def _shadows(states: tuple[PairState, ...]) -> dict[str, Relation]:
    return {s.pair.old: s.shadow for s in states if s.shadow is not None}


def _along(run: Run, states: tuple[PairState, ...], models: Mapping[str, Relation]) -> Along:
    """Return what of others refers to the new tables and goes along to the old ones."""
    return along_back(run.session, run.look(), states, models).carried


def _swapping(
    run: Run,
    states: tuple[PairState, ...],
    models: Mapping[str, Relation],
    facts: Mapping[str, Mapping[str, Any]],
    others: Along,
) -> Swap:
    """Return the swap. `models` are the shadows, or tables made like them."""
    referred = catalog.relations(run.session, {k.references for s in states for k in s.pair.old_ddl.foreign_keys})
    advances = [
        a
        for s in states
        for a in sequences.advance_statements(
            run.session, s.new_table, models[s.pair.old], schema=run.session.private_schema
        )
    ]
    ours = {(run.migration.schema, s.pair.old) for s in states}
    between, outside = ddl.key_statements([s.pair.old_ddl for s in states], ours, run.session.private_schema)
    return Swap(
        step=STEP,
        search_path=ddl.building_path(run),
        keys=[*others.locks, *outside],
        tables=lock_order(states),
        replays=[replay_back(run, s, models[s.pair.old]) for s in states],
        moves=[
            *between,
            *advances,
            *within_swap_schema(
                run.migration.schema, [*(m for s in states for m in _dressed(run, s)), *_moved(run, states)]
            ),
            *others.statements,
        ],
        guards=[g for s in states for g in _guards(run, s, models[s.pair.old])],
        look_again=lambda: _must_lose_nothing(run, states, models, others),
        facts=facts,
        oids=_oids(states),
        referred=sorted({r.oid for r in referred.values()} - set(_oids(states))),
        outside=others.outside,
    )


def _guards(run: Run, state: PairState, model: Relation) -> list[sql.Composable]:
    ways = [back_way(run.session, state.pair, model, state.new_table)]
    if state.superseded:
        ways.append(superseded_way(run.session, state.pair, model, state.superseded))
    return [g for w in ways for g in guards(run.session, w, accepted=run.settings.accept_hazards)]


def _must_lose_nothing(run: Run, states: tuple[PairState, ...], models: Mapping[str, Relation], others: Along) -> None:
    """The plan's look at columns and types once more: the tables are in use, and may have got a column or a key since."""
    must_be_the_same(others.keys, _along(run, states, models).keys)
    with run.session.transaction(read_only=True, search_path=run.search_path) as session:
        found = [h for s in states for h in of_columns(session, s, models[s.pair.old])]
    _refuse([h for h in found if h.blocks(run.settings.accept_hazards)])


def _facts(run: Run, state: PairState, seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the ledger's row says about the swap of one pair."""
    until = datetime.now(UTC) + timedelta(days=run.settings.retain_days)
    return {
        "new_table": state.pair.new,
        "superseded": state.superseded is not None,
        "view": bool(state.at_old_name and state.at_old_name.is_view),
        "retain_until": until.isoformat(),
        "retain_days": run.settings.retain_days,
        **seen[state.pair.old],
    }


def _dressed(run: Run, state: PairState) -> list[sql.Composable]:
    """The shadow gets its triggers, the change log moves from the live tables to it, autovacuum comes back."""
    shadow = private(state.pair.old)
    owner = own.on_behalf_of(run.session, state.new_table.owner)
    functions = [f for f, _ in functions_of(state.pair, run.migration.schema)]
    return [
        *(s for r in state.live_tables for s in change_log.detach_statements(ident(r.schema, r.name))),
        *ddl.statements(state.pair.old_ddl, "triggers"),
        *grants.given_functions(run.session, owner, functions),
        *change_log.attach_statements(state.pair, shadow),
        engine("autovacuum_again", table=shadow),
    ]


def _moved(run: Run, states: tuple[PairState, ...]) -> list[sql.Composable]:
    """The views or tables at the old names and the new tables leave, the shadows come."""
    leaving = [m for s in states for m in moving(s.at_old_name, s.new_table)]
    return exchange(run.migration.schema, leaving, [Moving(s.pair.old) for s in states])


# --- what can wait ---------------------------------------------------------------------------------------------


def settle(run: Run) -> dict[str, Any]:
    """Take the foreign keys off parked tables, validate those of the old tables. Does nothing where that is done.

    Until a parked table's foreign keys are off, deleting a user that only a parked row refers to would be refused
    because of us. Their definitions stay in the ledger, for undo. A foreign key whose locks are not to be had stays on and
    is told as open: the next run takes it off, and the check `references` says so until then.
    """
    look = run.look()
    done = instant.settle(run, look, {s.pair.old: s.old_table for s in look.in_state(State.RENAMED)}, "settle")
    for state in look.in_state(State.CUT_OVER):
        before = _parked_keys(run, state)
        left = _parked_keys_left(run, state)
        validated = _validated(run, state)
        removed = [name for name in before if name not in left]
        if removed or validated or left:
            done[state.pair.old] = {"foreign_keys_taken_off": removed, "validated": validated, "open": left}
            run.say(
                f"{state.pair.old}: {counted(len(validated), 'foreign key')} validated, {len(removed)} taken off the"
                " parked table" + (f"; OPEN: still on the parked table: {', '.join(left)}" if left else "")
            )
    in_use = [(s.pair, s.old_table.oid) for s in run.look().in_state(State.CUT_OVER)]
    for old, names in settle_outside(run, "settle", in_use).items():
        done.setdefault(old, {})["outside_keys_validated"] = names
    return done


def _parked_tables(state: PairState) -> list[Relation]:
    return [r for r in (state.private_new, state.private_old) if r is not None and r.is_table]


def _parked_keys(run: Run, state: PairState) -> list[str]:
    return [key.name for relation in _parked_tables(state) for key in foreign_keys.found(run, relation)]


def _parked_keys_left(run: Run, state: PairState) -> list[str]:
    """Take the keys off; return those that are still on, because somebody holds what they refer to."""
    for relation in _parked_tables(state):
        try:
            foreign_keys.take_off(run, state.pair, relation, attempts=foreign_keys.FEW_ATTEMPTS)
        except LockTimeoutError as error:
            run.say(f"{state.pair.old}: not taken off for now. {error.found}")
    return _parked_keys(run, state)


def _validated(run: Run, state: PairState) -> list[str]:
    waiting = [k.name for k in catalog.foreign_keys(run.session, state.old_table.oid) if not k.validated]
    if waiting:
        validating = _validating(run, state)
        try:
            with begun(run, validating) as session:
                carry_out(session, validating.then)
                run.record("settle", "validated", pair=state.pair.old, facts={"foreign_keys": waiting})
        except DatabaseError as error:
            if getattr(error, "sqlstate", None) != foreign_keys.VIOLATED:
                raise
            raise _refers_to_nothing(state, waiting) from error
    return waiting


def _refers_to_nothing(state: PairState, waiting: Sequence[str]) -> GateError:
    """The new table did not have this key, so rows could lose what they refer to until the names changed."""
    return GateError(
        f"{state.pair.old} is in use again, and everything in it is kept, but it has rows that refer to nothing.",
        complaints=[f"{state.pair.old}: the foreign key {name} is not validated" for name in waiting],
        expected="every row to refer to one that is there; new writes are held to that already",
        remedy="Mend or delete these rows and run the job rollback again: it validates. Or undo_rollback.",
    )


# --- what it does, as data -------------------------------------------------------------------------------------


def works(run: Run, states: tuple[PairState, ...], models: Mapping[str, Relation]) -> Iterator[Work]:
    """Yield what this step does. `models` are the shadows, or tables made like them."""
    others = _along(run, states, models)
    planned = _swapping(run, states, models, {}, others)
    for replay in planned.replays:
        yield replay.work()
    yield planned.work
    for state in states:
        for relation in state.live_tables:
            for key in catalog.foreign_keys(run.session, relation.oid):
                yield foreign_keys.taking_off("settle", state.pair, private(relation.name), key.name)
        validating = _validating(run, state)
        if validating.then:
            yield validating
    yield from others.validating("settle")


def _validating(run: Run, state: PairState) -> Work:
    valid = ddl.statements(state.pair.old_ddl, "validate")
    return Work(
        "settle", state.pair.old, "prove the foreign keys for the rows that are there", then=valid, outcome="validated"
    )
