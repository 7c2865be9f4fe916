"""Forward again: what the original migration and its follow-up did, in one transaction that locks the old tables.

Needed for the demo, for rehearsals, and for going forward after a rollback. It is not meant to be gentle: the tables
are locked while their rows are copied.
"""

from __future__ import annotations

from typing import Any

from aicfg_pipeline.errors import StateError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look, PairState, State
from aicfg_pipeline.rollback.tables import ddl, sequences
from aicfg_pipeline.rollback.tables.ddl import make_view
from aicfg_pipeline.rollback.tables.sources import forth_source

START_STATES = (State.NEVER_MIGRATED, State.ROLLED_BACK)


def migrate(run: Run) -> dict[str, Any]:
    """Migrate every pair that is not migrated yet. Returns rows per pair. Raises `StateError` where it can't start."""
    look = run.look()
    todo = _todo(look)
    if not todo:
        run.say("migrate: nothing to do, every pair is migrated")
        return {}

    def work() -> dict[str, int]:
        with run.writing(search_path=ddl.building_path(run, run.migration.schema)) as session:
            session.script(ledger.prepare_statements())
            tables = [ident(s.old_table.schema, s.old_table.name) for s in todo]
            session.execute(engine("lock_exclusively", tables=comma(tables)))
            rows = {s.pair.old: _migrated(run, s) for s in todo}
            session.execute(engine("reload_api"))
        return rows

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
    ddl.run_block(session, pair.new_ddl, "table")
    place = (run.migration.schema, pair.new)
    new = catalog.relations(session, [place])[place]
    source = forth_source(session, pair, state.old_table, new)
    copied = session.execute(
        engine("copy_rows", target=ident(*place), columns=columns(source.columns), source=source.query)
    ).rowcount
    ddl.run_blocks(
        session,
        pair.new_ddl,
        "indexes",
        "foreign_keys",
        "validate",
        "triggers",
        "row_level_security",
        "grants",
        "comments",
    )
    session.script(sequences.advance_statements(session, state.old_table, new))
    session.execute(engine("drop_table", table=ident(state.old_table.schema, state.old_table.name)))
    make_view(run, state)
    run.record("migrate", "done", pair=pair.old, facts={"rows": copied})
    return int(copied)
