"""Takes a rollback back while the new tables are parked: replay, compare, one short swap, then what can wait.

The same in the other direction as `copy_back`, `compare` and `cut_over`. What comes back of columns that the old table
has no place for is `forth`'s. Undoing the undo is another rollback.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from aicfg_pipeline.errors import GateError, StateError
from aicfg_pipeline.postgres import catalog, fingerprint
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import CUT_OVER_LOCK_TIMEOUT_MS
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident, keys_equal, private, text
from aicfg_pipeline.rollback import change_log, ddl, foreign_keys
from aicfg_pipeline.rollback.compare import Comparison, compare_sides
from aicfg_pipeline.rollback.copy_back import COPY_SETTINGS, FEW_KEYS, MOST_ROUNDS, PROGRESS_SECONDS
from aicfg_pipeline.rollback.cut_over import SWAP
from aicfg_pipeline.rollback.forth import Forth, mend_references, replay, way_forth
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.migrate import SECURITY_INVOKER_SINCE
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.sources import forth_source
from aicfg_pipeline.rollback.state import Look, PairState, State
from aicfg_pipeline.spec import PRIVATE_SCHEMA, shortened

STEP = "undo"
MEND_ATTEMPTS = 3


def undo_rollback(run: Run) -> dict[str, Any]:
    """Bring every pair that is cut over back to the new table. Returns locks held in milliseconds and keys replayed.

    Raises `StateError` where there is nothing to go back to, `GateError` where the tables can't be proven and
    `LockTimeoutError` where the locks are not to be had; in all cases the names are as before.
    """
    look = run.look()
    states = look.in_state(State.CUT_OVER)
    facts: dict[str, Any] = {"pairs": [s.pair.old for s in states]}
    _must_be_undoable(run, look, states)
    if states:
        for state in states:
            _prepared(run, look, state)
            catch_up_forth(run, state.pair.old)
            _vacuumed(run, state)
        proven = _proven(run, states)
        facts.update(_swap(run, states, proven))
    else:
        run.say("undo: nothing to do, no pair is cut over")
    facts["settled"] = settle(run)
    return facts


def _must_be_undoable(run: Run, look: Look, states: Sequence[PairState]) -> None:
    """Refuse with all reasons at once; a pair whose parked table is gone for good only stops a run that has no other."""
    dropped = look.in_state(State.ROLLED_BACK)
    for state in dropped:
        run.say(f"{state.pair.old}: can't be undone, its parked table is gone ({state.because})")
    if dropped and not states and not any(_left_by_undo(look, s) for s in look.pairs):
        raise StateError(
            "The rollback can't be undone: the parked tables are gone.",
            complaints=[f"{s.pair.old}: {s.because}" for s in dropped],
            remedy="Launch the job migrate to go forward again; the ledger names the export of what was dropped.",
        )
    complaints = [c for s in states for c in _reasons_against(run, s)]
    if complaints:
        raise StateError(
            "The rollback can't be undone as it is. Nothing has changed.",
            complaints=complaints,
            remedy="Mend what is named above and launch the job undo_rollback again.",
        )


def _reasons_against(run: Run, state: PairState) -> list[str]:
    old, reasons = state.pair.old, []
    if state.log is None:
        reasons.append(f"{old}: its change log is gone, so what was written since the cut-over is not known")
    else:
        triggers = catalog.our_triggers(run.session, state.old_table.oid)
        reasons += [
            f"{old}: the trigger {t} of the change log is gone or disabled, so writes may be missing from the log"
            for t in change_log.TRIGGERS
            if triggers.get(t) != "A"
        ]
    reasons += [
        f"{old}: foreign key {r.name} of {r.table} refers to the parked table; replaying would reach into {r.table}."
        " Take it off, and put it on again after the undo"
        for r in run.session.all(engine("foreign_keys_to"), {"oid": state.parked.oid})
    ]
    return reasons


# --- before the swap -------------------------------------------------------------------------------------------


def _prepared(run: Run, look: Look, state: PairState) -> None:
    """Finish what a killed cut-over left, and put in doubt what a merge has changed before the log began."""
    for relation in (state.private_new, state.private_old):
        if relation is not None and relation.is_table:
            foreign_keys.take_off(run, state.pair, relation)
    swap = look.ledger.last("cut_over", pair=state.pair.old, outcome="done")
    ready = look.ledger.last(STEP, pair=state.pair.old, outcome="prepared")
    if swap and swap.facts.get("superseded") and (ready is None or ready.id < swap.id):
        _merge_in_doubt(run, state)


def _merge_in_doubt(run: Run, state: PairState) -> None:
    """The old table holds rows that were merged and never logged; the versions that they replace are kept."""
    pair = state.pair
    forth = way_forth(run.session, state, run.look().ledger)
    different = fingerprint.different_keys(forth.source.query, forth.target, forth.proven, pair.key)
    kept = _free_name(run, pair.new)
    lock = engine("lock_for_read", tables=comma(forth.source.tables))
    with run.writing(snapshot=True, first=lock) as session:
        overwritten = session.execute(
            engine(
                "keep_rows",
                kept=private(kept),
                parked=forth.target,
                different=different,
                keys_equal=keys_equal(pair.key, "parked", "different"),
            )
        ).rowcount
        doubted = session.execute(
            engine("put_in_doubt", log=private(pair.change_log), keys=columns(pair.key), different=different)
        ).rowcount
        if not overwritten:
            session.execute(engine("drop_table", table=private(kept)))
        facts = {"kept": [kept] if overwritten else [], "overwritten": overwritten, "in_doubt": doubted}
        run.record(STEP, "prepared", pair=pair.old, facts=facts)


def _free_name(run: Run, name: str) -> str:
    taken = {r.name for r in run.session.all(engine("own_relations"))}
    number = 1
    while (free := shortened(f"superseded_{number}_", name)) in taken:
        number += 1
    return free


def catch_up_forth(run: Run, old: str, *, few: int = FEW_KEYS) -> int:
    """Replay the change log into the parked table until few entries are left; return entries replayed."""
    look = run.look()
    forth = way_forth(run.session, look[old], look.ledger)
    total, last_said = 0, time.monotonic()
    lock = engine("lock_for_read", tables=comma(forth.source.tables))
    for _ in range(MOST_ROUNDS):
        with run.writing(snapshot=True, first=lock, settings=COPY_SETTINGS) as session:
            taken = replay(session, forth)
            if taken:
                run.record(STEP, "replayed", pair=old, facts={"entries": taken})
        total += taken
        if taken <= few:
            break
        if time.monotonic() - last_said > PROGRESS_SECONDS:
            run.say(f"{old}: {total:,} entries of the change log replayed into the parked table so far")
            last_said = time.monotonic()
    return total


def _vacuumed(run: Run, state: PairState) -> None:
    for name in (state.pair.new, state.pair.change_log):
        run.session.execute(engine("vacuum", table=private(name)))


def _proven(run: Run, states: Sequence[PairState]) -> dict[str, Comparison]:
    """The gate: every parked table against the old one, mapped forward, in one snapshot."""
    look = run.look()
    ways = [way_forth(run.session, s, look.ledger) for s in states]
    lock = engine("lock_for_read", tables=comma(t for w in ways for t in w.source.tables))
    results: dict[str, Comparison] = {}
    with run.writing(snapshot=True, first=lock) as session:
        for forth in ways:
            mended = mend_references(session, forth, forth.parked, forth.source)
            found = compare_sides(
                session,
                _only(forth),
                forth.target,
                forth.parked.oid,
                forth.pair.key,
                change_log.pending_entries(forth.pair),
                names=forth.proven,
            )
            results[forth.pair.old] = found
            facts = {**found.facts, "references_mended": mended}
            run.record(STEP, "proven" if found.proven else "refuted", pair=forth.pair.old, facts=facts)
            run.say(
                f"{forth.pair.old}: old {found.before}; parked {found.after}; {found.differences.differences} differences,"
                f" {found.differences.unexplained} without an entry in the change log"
            )
    wrong = {old: r for old, r in results.items() if not r.proven}
    if wrong:
        raise GateError(
            "The parked tables are not what the old tables hold. The old tables stay in use, the new ones parked.",
            complaints=[
                f"{old}: {r.differences.unexplained} rows differ without an entry in the change log:"
                f" {', '.join(str(s['key']) for s in r.differences.sample[:5]) or 'no key, the checksums differ'}"
                for old, r in wrong.items()
            ],
            expected="every difference between old and parked table to be explained by the change log",
            remedy="Find out who wrote past the triggers (the keys are named above), then launch undo_rollback again.",
        )
    return results
