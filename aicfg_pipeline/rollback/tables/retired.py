"""What an undo leaves to be settled: the new table's foreign keys are validated, the retired old table goes.

The swap itself is `undo`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import LockTimeoutError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.locks import CUT_OVER_LOCK_TIMEOUT_MS
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look, PairState
from aicfg_pipeline.rollback.tables import change_log, foreign_keys
from aicfg_pipeline.rollback.tables.aside import set_aside
from aicfg_pipeline.rollback.tables.dependents import find_others
from aicfg_pipeline.rollback.tables.forth import mend_references, way_forth
from aicfg_pipeline.rollback.tables.losses import lost
from aicfg_pipeline.rollback.tables.sources import forth_source, forth_way
from aicfg_pipeline.rollback.work import Work, begun

STEP = "undo"
MEND_ATTEMPTS = 3


def left_by_undo(look: Look, state: PairState) -> Entry | None:
    """Return the undo that has still something to settle, or None."""
    swap = foreign_keys.last_swap(look.ledger, state.pair)
    if swap is None or swap.step != STEP or swap.facts.get("way") == "instant" or state.at_new_name is None:
        return None
    settled = look.ledger.last(STEP, pair=state.pair.old, outcome="settled")
    return swap if settled is None or settled.id < swap.id else None


def settle(run: Run) -> dict[str, Any]:
    """Validate the new table's foreign keys, drop the retired old table with its log. Does nothing where that is done.

    The retired table is dropped without an export: the comparison and the replay under lock have shown that it holds
    nothing that the new table does not. It is kept where something of others refers to it, and where it has values that
    have no place in the new table, or are another value there.
    """
    done: dict[str, Any] = {}
    look = run.look()
    states = [s for s in look.pairs if left_by_undo(look, s) is not None]
    retired_ = {s.pair.old: r for s in states if (r := _retired(look, s)) is not None}
    ours = [r.oid for r in retired_.values()]
    off = {s.pair.old: _keys_off(run, s, retired_[s.pair.old]) for s in states if s.pair.old in retired_}
    held = [retired_[old] for old, removed in off.items() if removed is None]
    pointed_at = {k.ref_oid for r in held for k in foreign_keys.found(run, r)}
    for state in states:
        retired, removed = retired_.get(state.pair.old), off.get(state.pair.old, [])
        if retired is not None and (removed is None or retired.oid in pointed_at):
            done[state.pair.old] = {"open": [retired.name]}
            continue
        validated, broken = _validated(run, state, retired)
        kept = _retire(run, state, retired, ours, validated, broken)
        done[state.pair.old] = {"foreign_keys_taken_off": removed, "validated": validated, "not_validated": broken}
        run.say(
            f"{state.pair.old}: {counted(len(validated), 'foreign key')} of {state.pair.new} validated;"
            + (f" the retired old table is kept as {kept[0]}" if kept else " the retired old table is dropped")
            + "".join(f"; NOT valid: {b}" for b in broken)
        )
    return done


def _retired(look: Look, state: PairState) -> Relation | None:
    """Return the old table that an undo has retired, where it is still there."""
    swap, retired = left_by_undo(look, state), state.private_old
    return retired if swap and retired and retired.oid == swap.facts["retired_oid"] else None


def _keys_off(run: Run, state: PairState, retired: Relation) -> list[str] | None:
    """Take a retired table's foreign keys off, or None: its drop would lock all that it refers to."""
    try:
        return foreign_keys.take_off(run, state.pair, retired, step=STEP)
    except LockTimeoutError as error:
        run.say(f"{state.pair.old}: OPEN: the retired table stays until the next run. {error.found}")
        return None


def _validated(run: Run, state: PairState, retired: Relation | None) -> tuple[list[str], list[str]]:
    """Validate; a row that refers to nothing is mended as before the swap, in case it was too late for that."""
    validated, broken = [], []
    new = state.new_table
    proven = foreign_keys.to_be_validated(run.look().ledger, state.pair, new.name)
    waiting = [k for k in foreign_keys.found(run, new) if not k.validated and k.name in proven]
    for key in waiting:
        wrong: str | None = None
        for _ in range(MEND_ATTEMPTS):
            wrong = foreign_keys.validate(run, STEP, state.pair, new, key.name)
            if wrong is None or retired is None:
                break
            _mended(run, state, retired, proven)
        if wrong is None:
            validated.append(key.name)
        else:
            broken.append(f"{key.name}: {wrong}")
    return validated, broken


def _mended(run: Run, state: PairState, retired: Relation, proven: set[str]) -> None:
    keys = [foreign_keys.facts_of(k) for k in foreign_keys.found(run, state.new_table) if k.name in proven]
    forth = replace(
        way_forth(run.session, replace(state, at_old_name=retired, private_new=state.new_table), run.look().ledger),
        foreign_keys=tuple({**k, "definition": k["definition"].removesuffix(" NOT VALID")} for k in keys),
    )

    def work() -> None:
        with run.writing(lock_timeout_ms=CUT_OVER_LOCK_TIMEOUT_MS) as session:
            source = forth_source(session, state.pair, retired, state.new_table)
            rows = mend_references(session, forth, state.new_table, source)
            run.record(STEP, "references_mended", pair=state.pair.old, facts={"rows": rows})

    run.with_locks(work, what=f"{state.pair.new}: mending references", oids=[state.new_table.oid])


def still_pointing(session: Session, oid: int, ours: Sequence[int]) -> list[Any]:
    """Return what of others refers to a table: kind, name, and the statement that makes it again.

    `ours` are the tables that come along: their foreign keys to this one are taken off before it goes.
    """
    with session.transaction(read_only=True):  # an empty search path: every name is qualified
        return find_others(session, oid, ours)


@dataclass(frozen=True)
class Retiring:
    """How a retired table goes: dropped with its log, or kept under another name because something refers to it."""

    work: Work
    kept: tuple[str, ...] = ()


def retiring(
    session: Session,
    state: PairState,
    table: Relation | None,
    ours: Sequence[int],
    *,
    before_undo: bool,
    gone: Collection[tuple[str, str]] = (),
) -> Retiring:
    """Return how the retired old table goes; `table` is it, or before the swap the table that will be it.

    `ours` are all that retire; `before_undo` says whether parked rows were remembered for the undo; `gone` names by kind and
    name what the swap points elsewhere.
    """
    statements: list[sql.Composable] = []
    kept: tuple[str, ...] = ()
    pointing = [p for p in still_pointing(session, table.oid, ours) if (p.kind, p.name) not in gone] if table else []
    if table is not None and (pointing or _loses(session, state, table)):
        name, statements = set_aside(session, replace(table, name=state.pair.old))
        kept = (name,)
    elif table is not None:
        statements = [engine("drop_table", table=private(state.pair.old))]
    if table is not None and state.log is not None:
        statements += change_log.drop_statements(state.pair, before_undo=before_undo)
    does = "the retired old table goes with its log" + (
        ", kept aside for what only it has, or for who refers to it" if kept else ""
    )
    return Retiring(Work(STEP, state.pair.old, does, then=statements, brief=True, outcome="settled"), kept)


def _loses(session: Session, state: PairState, table: Relation) -> bool:
    """Say whether the table has values that are nowhere else. After the swap nobody writes to it any more."""
    new = state.at_new_name or state.parked
    with session.transaction(read_only=True, search_path=(new.schema, "extensions")):
        return bool(lost(session, forth_way(session, state.pair, table, new)))


def _retire(
    run: Run,
    state: PairState,
    table: Relation | None,
    ours: Sequence[int],
    validated: list[str],
    broken: list[str],
) -> list[str]:
    """Let the retired table go; return the names under which it is kept, if it is."""

    def work() -> list[str]:
        how = retiring(run.session, state, table, ours, before_undo=state.before_undo is not None)
        with begun(run, how.work) as session:
            session.script(how.work.then)
            facts = {"dropped": table is not None and not how.kept, "kept": list(how.kept)}
            facts |= {"validated": validated, "not_validated": broken}
            run.record(STEP, "settled", pair=state.pair.old, facts=facts)
        return list(how.kept)

    oids = [r.oid for r in (table, state.log) if r is not None]
    kept, _ = run.with_locks(work, what=f"{state.pair.old}: retiring the old table", oids=oids)
    return kept
