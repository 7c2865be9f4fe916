"""The instant way: the tables are renamed where they are, in one transaction of milliseconds. No row is copied or moves.

What is missing is built before, what has to be proven is validated after. Every change is in the ledger with its inverse;
`instant_undo` runs those. Which way a migration goes is `tables.way`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import GateError
from aicfg_pipeline.postgres import fingerprint
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import Statement, comma, engine, ident, private_schema, text
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback import own
from aicfg_pipeline.rollback.run import Run, at_work
from aicfg_pipeline.rollback.state import Look, PairState
from aicfg_pipeline.rollback.tables import beside, ddl, foreign_keys, grants, on_disk
from aicfg_pipeline.rollback.tables.change import Ahead, Change
from aicfg_pipeline.rollback.tables.comparison import COMPARE_SETTINGS
from aicfg_pipeline.rollback.tables.swap import Swap, swap
from aicfg_pipeline.rollback.tables.way import Decision, Renaming, decide
from aicfg_pipeline.rollback.work import Work, begun
from aicfg_pipeline.spec.ddl import functions_made

STEP = "cut_over"
WAY = {"way": "instant"}
Facts = Callable[[PairState], dict[str, Any]]
"""What the ledger's row of a cut-over says whichever way it went: what was before, for the checks to compare with."""


def way_of(run: Run, look: Look | None = None) -> Decision:
    """Look which way the migration goes from here."""
    return decide(run.session, run.migration, look or run.look())


def build_ahead(run: Run, decision: Decision, old: str) -> dict[str, Any]:
    """Build beside what one pair's swap needs; nothing is copied. Returns what was built."""
    renaming = decision.renamings[old]
    made = beside.build(run, renaming.state.pair, renaming.state.new_table, _ahead(renaming))
    told = f"built beside: {', '.join(made)}" if made else "nothing has to be built"
    run.say(f"{old}: the instant way: no row is copied, {renaming.state.new_table} is renamed where it is; {told}")
    return {"state": str(renaming.state.state), "skipped": True, **WAY, "built": made}


def _ahead(renaming: Renaming) -> list[Ahead]:
    return [a for c in renaming.changes for a in c.ahead]


# --- the gate before -------------------------------------------------------------------------------------------


def measure(run: Run, decision: Decision) -> dict[str, dict[str, Any]]:
    """Count and sum up the rows as they are, and note in which files they are. Returns that by old name."""
    found: dict[str, dict[str, Any]] = {}
    states = [r.state for r in decision.renamings.values()]
    with begun(run, _measuring(run.session, states)) as session:
        since = int(session.scalar(engine("snapshot_begins")))
        for state in states:
            with at_work(run, f"{state.pair.old}: counting"):
                names, hashable = on_disk.columns_of(session, state.new_table)
                taken = fingerprint.take(session, _table(state.new_table), names, hashable=hashable)
            facts = {"rows": taken.rows, "checksum": taken.checksum, "since": since}
            facts |= on_disk.files_of(session, state.new_table)
            run.record("compare", "measured", pair=state.pair.old, facts={**WAY, **facts})
            run.say(f"{state.pair.old}: {taken}, in file {facts['file']}")
            found[state.pair.old] = facts
    return found


def _table(table: Relation) -> sql.Identifier:
    return ident(table.schema, table.name)


def _measuring(session: Session, states: Sequence[PairState]) -> Work:
    lock = engine("lock_for_read", tables=comma(_table(s.new_table) for s in states))
    does = "count and sum up the rows as they are; only reads"
    return Work("compare", None, does, locks=[lock], settings=COMPARE_SETTINGS, snapshot=True, outcome="measured")


# --- the swap --------------------------------------------------------------------------------------------------


def rename_back(run: Run, decision: Decision, facts_of: Facts) -> dict[str, Any]:
    """Rename every pair in one transaction. Returns locks held in milliseconds. Raises `LockTimeoutError`, `GateError`."""
    for renaming in decision.renamings.values():
        beside.build(run, renaming.state.pair, renaming.state.new_table, _ahead(renaming))
    look = run.look()
    _must_be_measured(look, decision)
    facts = {old: {**facts_of(r.state), **_facts(run.session, r)} for old, r in decision.renamings.items()}
    timing = swap(run, _swapping(run, decision, facts), what="cut over")
    run.say(
        f"cut over: {', '.join(decision.renamings)} are called so again; no row moved, attempts: {timing['lock_attempts']}"
    )
    return {**WAY, **timing}


def _must_be_measured(look: Look, decision: Decision) -> None:
    missing = [
        old
        for old, r in decision.renamings.items()
        if (e := look.ledger.last("compare", pair=old)) is None
        or e.outcome != "measured"
        or e.facts.get("oid") != r.state.new_table.oid
    ]
    if missing:
        raise GateError(
            f"Not cut over: the rows of {', '.join(missing)} have not been counted before.",
            expected="step compare to have passed for these very tables",
            remedy="Run the job rollback again; it counts before it cuts over.",
        )


def _facts(session: Session, renaming: Renaming) -> dict[str, Any]:
    """Return what the undo and the checks need: every inverse, what is validated after, and where the rows are."""
    return {
        **WAY,
        "new_oid": renaming.state.new_table.oid,
        "columns": dict(renaming.columns),
        "inverse": [_as_facts(c, renaming.columns) for c in renaming.changes],
        "names": _as_facts(renaming.names, renaming.columns),
        "prove": _to_prove(renaming),
        **on_disk.files_of(session, renaming.state.new_table),
    }


def _as_facts(change: Change, columns: Mapping[str, str]) -> dict[str, Any]:
    """Before an undo the columns have their old names: what is built then is built on those."""
    facts = change.as_facts
    return {**facts, "ahead": [{**a, "column": columns.get(a["column"], a["column"])} for a in facts["ahead"]]}


def _to_prove(renaming: Renaming) -> list[str]:
    return [name for c in renaming.changes for name in c.prove]


def _swapping(run: Run, decision: Decision, facts: Mapping[str, Mapping[str, Any]]) -> Swap:
    renamings = list(decision.renamings.values())
    states = [r.state for r in renamings]
    ours = {s.new_table.oid for s in states}
    views = [s.at_old_name for s in states if s.at_old_name is not None]
    first = [c for r in renamings for c in r.changes if set(c.referred) - ours]
    rest = [c for r in renamings for c in r.changes if c not in first]
    return Swap(
        step=STEP,
        search_path=run.search_path,
        keys=[s for c in first for s in c.do],
        tables=[*(ident(v.schema, v.name) for v in views), *(_table(s.new_table) for s in states)],
        replays=[],
        moves=where_they_are(
            ours,
            [
                *(engine("view_to_schema", view=_table(v), schema=private_schema()) for v in views),
                *(f for s in states for f in _functions(run, s)),
                *(s for c in rest for s in c.do),
                *(s for r in renamings for s in r.names.do),
            ],
        ),
        facts=facts,
        oids=[*(v.oid for v in views), *sorted(ours)],
        referred=sorted({oid for c in first for oid in c.referred} - ours),
        look_again=lambda: _must_be_alike(run, decision),
    )


def where_they_are(tables: Collection[int], moves: Iterable[sql.Composable]) -> list[sql.Composable]:
    """Return what changes names, between what notes the tables' files and what takes it all back if one is another."""
    oids = sql.Literal(sorted(tables))
    return [engine("note_files", oids=oids), *moves, engine("same_files", oids=oids), engine("reload_api")]


def _functions(run: Run, state: PairState) -> list[sql.Composable]:
    """Return what makes the functions of the old table's triggers, and gives new ones to the tables' owner."""
    file, schema = state.pair.old_ddl, run.migration.schema
    made = {statement for _, statement in functions_made(file, schema)}
    owner = own.on_behalf_of(run.session, state.new_table.owner)
    wanted = [s for s in ddl.statements(file, "triggers") if s.as_string(None) in made]
    return [*wanted, *grants.given_functions(run.session, owner, [f for f, _ in functions_made(file, schema)])]


def _must_be_alike(run: Run, decision: Decision) -> None:
    """Look once more right before the locks: the tables are in use, and somebody may have changed one."""
    now = way_of(run)
    before, found = (
        {o: [s.as_string(None) for c in r.all_changes for s in c.do] for o, r in d.renamings.items()}
        for d in (decision, now)
    )
    if before != found:
        raise GateError(
            "Not cut over: the tables have changed since this run looked at them. Nothing has changed for anyone.",
            complaints=[f"{t.old}: {w}" for t in now.told for w in t.why_not],
            remedy="Run the job rollback again: it looks anew, and goes the way that will do.",
        )


# --- what can wait ---------------------------------------------------------------------------------------------


def settle(run: Run, look: Look, tables: Mapping[str, Relation], step: str) -> dict[str, Any]:
    """Validate what a swap of the instant way has made NOT VALID. `tables` by old name. Does nothing where that is done."""
    done: dict[str, Any] = {}
    wrong: list[str] = []
    for old, table in tables.items():
        state = look[old]
        last = foreign_keys.last_swap(look.ledger, state.pair)
        names = list(last.facts.get("prove", ())) if last else []
        open_ = {r.name for r in run.session.all(engine("not_validated"), {"oid": table.oid, "names": names})}
        waiting = [name for name in names if name in open_]
        broken = {n: w for n in waiting if (w := foreign_keys.validate(run, step, state.pair, table, n)) is not None}
        wrong += [f"{table}: {name} is not validated: {why}" for name, why in broken.items()]
        if waiting:
            done[state.pair.old] = {"validated": [n for n in waiting if n not in broken]}
            run.say(f"{state.pair.old}: {counted(len(waiting) - len(broken), 'constraint')} validated")
    if wrong:
        raise GateError(
            "The names have changed and everything is kept, but there are rows that a constraint refuses.",
            complaints=wrong,
            expected="every row to satisfy it; new writes are held to that already",
            remedy="Mend or delete these rows and run the same job again: it validates.",
        )
    return done


# --- what it does, as data -------------------------------------------------------------------------------------


def works(run: Run, decision: Decision) -> Iterator[Work]:
    """Yield what a rollback of the instant way does, up to the checks."""
    renamings = list(decision.renamings.values())
    for renaming in renamings:
        yield from beside.works(run.session, renaming.state.pair, renaming.state.new_table, _ahead(renaming))
    states = [r.state for r in renamings]
    takes = [_taking(run.session, s.new_table) for s in states]
    measuring = _measuring(run.session, states)
    yield Work(**{**vars(measuring), "then": takes})
    yield _swapping(run, decision, {}).work
    for renaming in renamings:
        table = ident(renaming.state.new_table.schema, renaming.state.pair.old)
        for name in _to_prove(renaming):
            yield foreign_keys.validating("settle", renaming.state.pair, table, name)


def _taking(session: Session, table: Relation) -> sql.Composable:
    names, hashable = on_disk.columns_of(session, table)
    return fingerprint.fingerprint_query(_table(table), names, hashable=hashable)


def recorded(facts: Mapping[str, Any]) -> list[sql.Composable]:
    """Return the statements of an inverse as the ledger has them."""
    return [Statement(text(s), why) for s, why in zip(facts["back"], facts["why"], strict=True)]
