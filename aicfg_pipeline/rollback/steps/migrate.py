"""Forward again: what the original migration and its follow-up did, in one transaction that locks the old tables.

Needed for the demo, for rehearsals, and for going forward after a rollback. It is not meant to be gentle: the tables
are locked while their rows are copied. The old table is dropped once the new one is proven to hold all of it; where it
has values that are nowhere else, it is kept aside in the private schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import GateError, HazardError, StateError
from aicfg_pipeline.postgres import catalog, fingerprint
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident, private_schema
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback import ledger, own
from aicfg_pipeline.rollback.hazards import Hazard, Subject, forward
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look, PairState, State
from aicfg_pipeline.rollback.tables import ddl, grants, sequences
from aicfg_pipeline.rollback.tables.along import Along, along_forward, settle_outside
from aicfg_pipeline.rollback.tables.aside import set_aside
from aicfg_pipeline.rollback.tables.dependents import find_others
from aicfg_pipeline.rollback.tables.losses import lost
from aicfg_pipeline.rollback.tables.outside_keys import locks_ahead
from aicfg_pipeline.rollback.tables.sources import forth_source, forth_way
from aicfg_pipeline.rollback.work import Work, begun, carry_out
from aicfg_pipeline.spec.ddl import trigger_functions
from aicfg_pipeline.spec.model import Pair

STEP = "migrate"
LATER_BLOCKS = ("indexes", "triggers", "row_level_security", "grants", "comments")
KEY_BLOCKS = ("foreign_keys", "validate")
"""After the tables of all pairs: they may refer to each other, in a circle too."""

START_STATES = (State.NEVER_MIGRATED, State.ROLLED_BACK)


def migrate(run: Run) -> dict[str, Any]:
    """Migrate every pair that is not migrated yet. Returns rows per pair. Raises `StateError` where it can't start."""
    look = run.look()
    todo = _todo(look)
    if not todo:
        run.say("migrate: nothing to do, every pair is migrated")
        return {}

    _must_lose_nothing(run, look)

    def work() -> dict[str, int]:
        with begun(run, _migrating(run, todo)) as session:
            session.execute(engine("reload_api"))  # heard when the transaction commits
            _referring_taken_off(run, todo)
            rows = {s.pair.old: _migrated(run, s, todo) for s in todo}
            _referring_again(run, todo)
            return rows

    rows, _ = run.with_locks(work, what="migrate", oids=[s.old_table.oid for s in todo])
    settle_outside(run, STEP, [(s.pair, s.at_new_name.oid) for s in run.look().pairs if s.at_new_name])
    for old, count in rows.items():
        pair = run.migration.pair(old)
        view = f"; {old} is a view now" if pair.view_ddl else ""
        run.say(f"{old}: {counted(count, 'row')} moved to {pair.new}{view}")
    return rows


def _todo(look: Look) -> list[PairState]:
    wrong = [s for s in look.pairs if s.state not in (*START_STATES, State.MIGRATED, State.MIGRATED_AGAIN)]
    if wrong:
        raise StateError(
            "The migration can't start from here.",
            complaints=[f"{s.pair.old}: {s.state}: {s.because}" for s in wrong],
            expected=f"every pair to be {', '.join(START_STATES)} or {State.MIGRATED}",
            remedy="A pair that is cut_over goes forward with the job undo_rollback, or with migrate once its parked"
            " table is dropped. A pair that is copying or coexisting goes on with the job rollback.",
        )
    one = [s for s in look.pairs if s.pair.in_place and s.state in START_STATES]
    if one:
        raise StateError(
            "The job migrate makes new tables and copies the rows; of one table it can't rename columns.",
            complaints=[f"{s.pair.old}: old and new are one table" for s in one],
            remedy="Rename the columns with your own statements: ALTER TABLE … RENAME COLUMN.",
        )
    return [s for s in look.pairs if s.state in START_STATES]


def _referring_taken_off(run: Run, states: Sequence[PairState]) -> None:
    off = _keys_between(run, states)
    carry_out(run.session, [s for _, s in off])
    if off:
        facts = {"foreign_keys": [name for name, _ in off]}
        run.record(STEP, "foreign_keys_taken_off", facts=facts)


def _referring_again(run: Run, states: Sequence[PairState]) -> None:
    for state in states:
        statements = ddl.statements(state.pair.new_ddl, *KEY_BLOCKS)
        carry_out(run.session, statements)
        if statements:
            run.record(STEP, "foreign_keys", pair=state.pair.old)


def _keys_between(run: Run, states: Sequence[PairState]) -> list[tuple[str, sql.Composable]]:
    """Return the keys from one old table to another that goes, by name, and what takes each off: neither could go else."""
    going = {s.old_table.oid for s in states}
    return [
        (key.name, engine("drop_constraint", table=ident(old.schema, old.name), constraint=ident(key.name)))
        for old in (s.old_table for s in states)
        for key in catalog.foreign_keys(run.session, old.oid)
        if key.ref_oid in going - {old.oid}
    ]


def _migrated(run: Run, state: PairState, states: Sequence[PairState]) -> int:
    pair, session = state.pair, run.session
    carry_out(session, _making(pair))
    place = (run.migration.schema, pair.new)
    new = catalog.relations(session, [place])[place]
    way = forth_way(session, pair, state.old_table, new)
    gate(run, forward.of_rows(session, way))
    copy, *others = _filling(run, state, new)
    rows = carry_out(session, [copy])
    found = _compared(run, state, new)
    carry_out(session, others)
    gate(run, forward.of_others(session, way, _oids(states)))  # what refers to columns needs an index, made by now
    along = _along(run, state, new, states)
    away, kept = _leaving(run, state, new, states, along)
    view = ddl.view_statements(session, pair, own.on_behalf_of(session, state.old_table.owner))
    carry_out(session, [*along.statements, *away, *view])
    facts = {"rows": rows, "kept": kept, "checksum": found, **along.facts(pair)}
    run.record(STEP, "done", pair=pair.old, facts=facts)
    return rows


def _must_lose_nothing(run: Run, look: Look) -> None:
    """Refuse before anything is touched."""
    gate(run, forward.find(Subject(run.session, run.migration, look, run.settings, must_confirm=False)))


def gate(run: Run, hazards: Iterable[Hazard]) -> None:
    """Raise `HazardError` naming all that is in the way and is not accepted."""
    blocking = [h for h in hazards if h.blocks(run.settings.accept_hazards)]
    if blocking:
        raise HazardError(
            "The migration can't go forward as it is. Nothing has changed.",
            codes=[h.code for h in blocking],
            complaints=[h.complaint for h in blocking],
            remedy="Mend or accept what is named above, and launch the job migrate again.",
        )


def _compared(run: Run, state: PairState, new: Relation) -> str:
    """Hold the new table against the old one, under the lock that keeps everybody out; return the checksum."""
    pair, session = state.pair, run.session
    source, target = forth_source(session, pair, state.old_table, new), ident(run.migration.schema, pair.new)
    hashable = not catalog.unhashable_columns(session, new.oid)
    before = fingerprint.take(session, source.query, source.columns, hashable=hashable)
    after = fingerprint.take(session, target, source.columns, hashable=hashable)
    found = fingerprint.differences(session, source.query, target, source.columns, pair.key)
    if before != after or found.differences:
        keys = ", ".join(str(s["key"]) for s in found.sample[:5])
        raise GateError(
            f"{pair.old}: what was copied is not in {counted(found.differences, 'row')} of {pair.new}: {keys or 'no key'}."
            f" Nothing has changed (old {before}, new {after}).",
            remedy=f"Look for what {pair.new_ddl.path} does to rows that come in, then launch the job migrate again.",
        )
    return str(after.checksum)


def _proofs(run: Run, state: PairState, new: Relation) -> list[sql.Composable]:
    """Return what `_compared` runs. `new` is made like the new table."""
    pair, session = state.pair, run.session
    source, target = forth_source(session, pair, state.old_table, new), ident(run.migration.schema, pair.new)
    hashable = not catalog.unhashable_columns(session, new.oid)
    return [
        fingerprint.fingerprint_query(source.query, source.columns, hashable=hashable),
        fingerprint.fingerprint_query(target, source.columns, hashable=hashable),
        fingerprint.differences_query(source.query, target, source.columns, pair.key),
    ]


def _oids(states: Sequence[PairState]) -> list[int]:
    return [s.old_table.oid for s in states]


def _along(run: Run, state: PairState, new: Relation, states: Sequence[PairState]) -> Along:
    way = forth_way(run.session, state.pair, state.old_table, new)
    return along_forward(run.session, ledger.read(run.session, run.migration), way, _oids(states)).carried


def _leaving(
    run: Run, state: PairState, new: Relation, states: Sequence[PairState], along: Along
) -> tuple[list[sql.Composable], list[str]]:
    """Return how the old table goes, and the name under which it is kept where values of it are nowhere else.

    Keys between the old tables of `states` are off by then, and `along` refers to the new ones.
    """
    session, old, going = run.session, state.old_table, set(_oids(states))
    pointed_at = [d for d in find_others(session, old.oid, _oids(states)) if (d.kind, d.name) not in along.labels]
    if not pointed_at and not lost(session, forth_way(session, state.pair, old, new)):
        return [engine("drop_table", table=ident(old.schema, old.name))], []
    name, aside = set_aside(session, old)
    keys = [k.name for k in catalog.foreign_keys(session, old.oid) if k.ref_oid not in going - {old.oid}]
    table = ident(old.schema, old.name)
    return [
        *(engine("drop_constraint", table=table, constraint=ident(k)) for k in keys),
        engine("table_to_schema", table=table, schema=private_schema()),
        *aside,
    ], [name]


# --- what it does, as data -------------------------------------------------------------------------------------


def works(run: Run, states: Sequence[PairState], models: Mapping[str, Relation]) -> Iterator[Work]:
    """Yield what this step does. `models` are made like the new tables."""
    if states:
        validating: list[Work] = []
        each: list[sql.Composable] = [off for _, off in _keys_between(run, states)]
        for state in states:
            new = models[state.pair.old]
            copy, *others = _filling(run, state, new)
            each += [*_making(state.pair), copy, *_proofs(run, state, new)]
            along = _along(run, state, new, states)
            validating += along.validating(STEP)
            each += [*others, *along.statements, *_leaving(run, state, new, states, along)[0]]
            owner = own.on_behalf_of(run.session, state.old_table.owner)
            each += ddl.view_statements(run.session, state.pair, owner)
        each += [k for s in states for k in ddl.statements(s.pair.new_ddl, *KEY_BLOCKS)]
        yield replace(_migrating(run, states), then=[engine("reload_api"), *each])
        yield from validating


def _migrating(run: Run, states: Sequence[PairState]) -> Work:
    tables = [ident(s.old_table.schema, s.old_table.name) for s in states]
    owner = own.on_behalf_of(run.session, states[0].old_table.owner)
    return Work(
        STEP,
        None,
        "go forward: everybody waits until the rows are moved",
        before=ledger.prepare_statements(run.session, run.migration, owner),
        locks=[engine("lock_exclusively", tables=comma(tables)), *locks_ahead(run.session, _oids(states))],
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
    ]
