"""Forward again: what the original migration and its follow-up did, in one transaction that locks the old tables.

Needed for the demo, for rehearsals, and for going forward after a rollback. It is not meant to be gentle: the tables
are locked while their rows are copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import StateError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident
from aicfg_pipeline.rollback import ledger, own
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look, PairState, State
from aicfg_pipeline.rollback.tables import ddl, grants, sequences
from aicfg_pipeline.rollback.tables.sources import forth_source
from aicfg_pipeline.rollback.work import Work, begun, carry_out
from aicfg_pipeline.spec.ddl import trigger_functions
from aicfg_pipeline.spec.model import Pair

STEP = "migrate"
LATER_BLOCKS = ("indexes", "foreign_keys", "validate", "triggers", "row_level_security", "grants", "comments")
START_STATES = (State.NEVER_MIGRATED, State.ROLLED_BACK)


def migrate(run: Run) -> dict[str, Any]:
    """Migrate every pair that is not migrated yet. Returns rows per pair. Raises `StateError` where it can't start."""
    look = run.look()
    todo = _todo(look)
    if not todo:
        run.say("migrate: nothing to do, every pair is migrated")
        return {}

    def work() -> dict[str, int]:
        with begun(run, _migrating(run, todo)) as session:
            session.execute(engine("reload_api"))  # heard when the transaction commits
            return {s.pair.old: _migrated(run, s) for s in todo}

    rows, _ = run.with_locks(work, what="migrate", oids=[s.old_table.oid for s in todo])
    for old, count in rows.items():
        run.say(f"{old}: {count:,} rows moved to {run.migration.pair(old).new}; {old} is a view now")
    return rows


def _todo(look: Look) -> list[PairState]:
    wrong = [s for s in look.pairs if s.state not in (*START_STATES, State.MIGRATED)]
    if wrong:
        raise StateError(
            "The migration can't start from here.",
            complaints=[f"{s.pair.old}: {s.state}: {s.because}" for s in wrong],
            expected=f"every pair to be {', '.join(START_STATES)} or {State.MIGRATED}",
            remedy="A pair that is cut_over goes forward with the job undo_rollback, or with migrate once its parked"
            " table is dropped. A pair that is copying or coexisting goes on with the job rollback.",
        )
    return [s for s in look.pairs if s.state in START_STATES]


def _migrated(run: Run, state: PairState) -> int:
    pair, session = state.pair, run.session
    carry_out(session, _making(pair))
    place = (run.migration.schema, pair.new)
    copy, *others = _filling(run, state, catalog.relations(session, [place])[place])
    rows = carry_out(session, [copy])
    carry_out(session, others)
    run.record(STEP, "done", pair=pair.old, facts={"rows": rows})
    return rows


# --- what it does, as data -------------------------------------------------------------------------------------


def works(run: Run, states: Sequence[PairState], models: Mapping[str, Relation]) -> Iterator[Work]:
    """Yield what this step does. `models` are made like the new tables."""
    if states:
        each = [s for state in states for s in (*_making(state.pair), *_filling(run, state, models[state.pair.old]))]
        yield replace(_migrating(run, states), then=[engine("reload_api"), *each])


def _migrating(run: Run, states: Sequence[PairState]) -> Work:
    tables = [ident(s.old_table.schema, s.old_table.name) for s in states]
    return Work(
        STEP,
        None,
        "go forward: everybody waits until the rows are moved",
        before=ledger.prepare_statements(own.on_behalf_of(run.session, states[0].old_table.owner)),
        locks=[engine("lock_exclusively", tables=comma(tables))],
        search_path=ddl.building_path(run, run.migration.schema),
        outcome="done",
    )


def _making(pair: Pair) -> list[sql.Composable]:
    return ddl.statements(pair.new_ddl, "table")


def _filling(run: Run, state: PairState, new: Relation) -> list[sql.Composable]:
    """Return what fills a new table and puts it in its place; the first statement copies the rows."""
    pair, session, schema = state.pair, run.session, run.migration.schema
    source = forth_source(session, pair, state.old_table, new)
    owner = own.on_behalf_of(session, state.old_table.owner)
    functions = [f for f, _ in trigger_functions(pair, schema, new=True)]
    return [
        engine("copy_rows", target=ident(schema, pair.new), columns=columns(source.columns), source=source.query),
        *grants.given(owner, schema, pair.new),
        *ddl.statements(pair.new_ddl, *LATER_BLOCKS),
        *grants.given_functions(session, owner, functions),
        *sequences.advance_statements(session, state.old_table, new, schema=schema),
        engine("drop_table", table=ident(state.old_table.schema, state.old_table.name)),
        *ddl.view_statements(session, pair, owner),
    ]
