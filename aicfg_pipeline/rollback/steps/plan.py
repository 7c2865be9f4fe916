"""Step 0: look, find hazards, and say what would run, in order. Reads only; a dry run ends here.

A plan's hash is its name for whoever approves it: two plans of one hash do the same, in the same place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError, GateError, HazardError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import begin_statement
from aicfg_pipeline.postgres.settings import path_statement
from aicfg_pipeline.postgres.statements import engine, is_noted, provided_of, why_of
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback import ledger, own
from aicfg_pipeline.rollback.hazards import ACCEPTABLE, Hazard, Job, Subject, find_hazards
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, UNDOABLE, WITH_SHADOW, Look, PairState, State
from aicfg_pipeline.rollback.steps import abandon, compare, copy_back, cut_over, drop, instant, migrate, prepare, undo
from aicfg_pipeline.rollback.tables.preparation import Preparation, preparation
from aicfg_pipeline.rollback.tables.scratch import scratch_tables
from aicfg_pipeline.rollback.tables.way import WayTold, told_ways
from aicfg_pipeline.rollback.work import Work


@dataclass(frozen=True)
class Planned:
    """One statement that would run: in which step, of which pair, what it is for, and under which condition."""

    step: str
    pair: str | None
    sql: str
    why: str
    provided: str | None = None


@dataclass(frozen=True)
class Plan:
    """What was found and what would run."""

    database: dict[str, Any]
    look: Look
    hazards: tuple[Hazard, ...]
    statements: tuple[Planned, ...]
    hash: str
    meaning: tuple[str, ...]
    to_copy: tuple[str, ...]
    """The old tables whose rows are copied: not those whose shadow is there and can be gone on with."""
    prepared: tuple[Preparation, ...]
    ways: tuple[WayTold, ...] = ()
    """Which way each pair goes that can be rolled back, and why it is not renamed in place."""

    def blocking(self, accepted: Sequence[str]) -> list[Hazard]:
        """Return the hazards that stop a run, given which codes the operator accepts."""
        return [h for h in self.hazards if h.blocks(tuple(accepted))]

    @property
    def nothing_to_do(self) -> bool:
        """No pair is in a state that a rollback starts from."""
        return not self.look.in_state(*TO_ROLL_BACK)


def make_plan(run: Run, *, must_confirm: bool, job: Job = "rollback", also: Sequence[str] = ()) -> Plan:
    """Look at everything that concerns a job, and change nothing. `also` is what the job does outside the database."""
    session = run.session
    identity = session.one(engine("identity"))
    look = run.look()
    hazards = find_hazards(Subject(session, run.migration, look, run.settings, must_confirm), job)
    works = _works(run, look, job)
    start = _from_the_start(look, job)
    meaning = _meaning(run, identity, job, works if start is look else _works(run, start, job), also)
    statements = tuple(_planned(run, works))
    to_copy = tuple(w.pair for w in works if w.pair and w.step == copy_back.STEP and w.outcome == "copied")
    prepared = tuple(p for s in look.pairs if (p := preparation(session, run.migration, look.ledger, s)))
    ways = told_ways(session, run.migration, look) if job in ("rollback", "prepare") else ()
    return Plan(
        identity._asdict(), look, tuple(hazards), statements, hash_of(meaning), meaning, to_copy, prepared, ways
    )


def stands_for(run: Run, look: Look, job: Job, also: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what the hash of a plan stands for, line by line: where, what, and every statement.

    Not how many rows there are, nor when, nor how far an earlier attempt has got: what was approved is still that when it
    is prepared, or goes on after it was killed.
    """
    works = _works(run, _from_the_start(look, job), job)
    return _meaning(run, run.session.one(engine("identity")), job, works, also)


ASKED: dict[Job, tuple[str, ...]] = {
    "rollback": ("retain_days", "terminate_blockers"),
    "prepare": ("terminate_blockers",),
    "undo_rollback": ("terminate_blockers",),
    "drop_new_tables": ("terminate_blockers", "before_retention_ends"),
    "migrate": ("terminate_blockers",),
    "abandon": ("terminate_blockers",),
}
"""The settings of a job that no statement shows, and that whoever approves it has to mean, too."""


def _meaning(run: Run, identity: Any, job: Job, works: Sequence[Work], also: Sequence[str]) -> tuple[str, ...]:
    accepted = ", ".join(sorted(run.settings.accept_hazards)) or "none"
    statements = _planned(run, [w for w in works if w.outcome != "discarded"])
    return (
        f"job {job}",
        f"database {identity.database} on server {identity.system_identifier}",
        f"migration {run.migration.name}, files {run.migration.digest}",
        f"hazards accepted: {accepted}",
        *(f"{name}: {getattr(run.settings, name)}" for name in ASKED[job]),
        *also,
        *(f"{s.step}{f' {s.pair}' if s.pair else ''}: {s.sql}" for s in statements),
    )


def hash_of(meaning: Sequence[str]) -> str:
    """Return the name of a plan: 16 hexadecimal digits of SHA-256 over what it stands for."""
    return hashlib.sha256("\n".join(meaning).encode()).hexdigest()[:16]


def _from_the_start(look: Look, job: Job) -> Look:
    """Return the look as it was before any shadow was made: the very same where there is none."""
    if job != "rollback" or not look.in_state(*WITH_SHADOW):
        return look
    return replace(look, pairs=tuple(_without_shadow(s) if s.state in WITH_SHADOW else s for s in look.pairs))


def _without_shadow(state: PairState) -> PairState:
    return replace(state, state=state.untouched, private_old=None, log=None)


def gate(plan: Plan, accepted: Sequence[str]) -> None:
    """Raise `HazardError` naming every hazard that blocks, before anything is touched."""
    unknown = sorted(set(accepted) - ACCEPTABLE)
    blocking = plan.blocking(accepted)
    complaints = [h.complaint for h in blocking]
    complaints += [
        f"accept_hazards names {c}, which can't be accepted (only {', '.join(sorted(ACCEPTABLE))})" for c in unknown
    ]
    if complaints:
        raise HazardError(
            f"The plan found {counted(len(complaints), 'hazard')}. Nothing was touched in database"
            f" {plan.database['database']!r}.",
            codes=[h.code for h in blocking],
            complaints=complaints,
            remedy="Mend what is named above and run the job plan until it reports no hazard that blocks.",
        )


# --- the statements in the order they would run ----------------------------------------------------------------


def _works(run: Run, look: Look, job: Job) -> list[Work]:
    """Return what a job does from here, step by step; nothing where the files can't be run (a hazard says so)."""
    try:
        done = list(_JOBS[job](run, look))
    except (DatabaseError, GateError):
        return []
    return [_beginning(run, look), *done, _END] if done else []


def _beginning(run: Run, look: Look) -> Work:
    made = ledger.prepare_statements(run.session, run.migration, own.on_behalf_of(run.session, look.owner))
    return Work("run", None, "the private schema and the ledger", then=made, outcome="started")


_END = Work("run", None, "what the job was asked for is done", outcome="finished")
_VERIFY = Work("verify", None, "every check; only reads", outcome="passed")


def _rollback(run: Run, look: Look) -> Iterator[Work]:
    decision = instant.way_of(run, look)
    if decision.instant:
        yield from instant.works(run, decision)
        yield _VERIFY
        if run.settings.retain_days == 0:
            yield from drop.works(run, [_renamed(s, run.session.private_schema) for s in look.in_state(*TO_ROLL_BACK)])
        return
    with _shadows(run, look) as (states, models):
        if not states:
            return
        yield from _copied(run, states, models)
        yield from compare.works(run, states, models)
        yield from cut_over.works(run, states, models)
        yield _VERIFY
        if run.settings.retain_days == 0:
            yield from drop.works(run, [_cut_over(s, models[s.pair.old], run.session.private_schema) for s in states])


def _renamed(state: PairState, parked_in: str) -> PairState:
    """Return what a pair will be once it is renamed in place."""
    aside = replace(state.at_old_name, schema=parked_in) if state.at_old_name else None
    old = replace(state.new_table, name=state.pair.old)
    return replace(state, state=State.RENAMED, at_old_name=old, at_new_name=None, private_old=aside)


def _prepare(run: Run, look: Look) -> Iterator[Work]:
    if instant.way_of(run, look).instant:
        return
    with _shadows(run, look) as (states, models):
        yield from _copied(run, states, models)
        yield from compare.works(run, states, models, anew=True)
        for state in states:
            yield prepare.waiting(state)


@contextmanager
def _shadows(run: Run, look: Look) -> Iterator[tuple[tuple[PairState, ...], dict[str, Relation]]]:
    """Yield the pairs to roll back, and by old name the shadow of each, or a table made like it."""
    states = look.in_state(*TO_ROLL_BACK)
    usable = {s.pair.old: s.shadow for s in states if s.shadow and not copy_back.remains(run, s)}
    missing = {s.pair.old: s.pair.old_ddl for s in states if s.pair.old not in usable}
    with scratch_tables(run.session, run.migration, missing, "indexes") as made:
        yield states, made | usable


def _copied(run: Run, states: Sequence[PairState], models: Mapping[str, Relation]) -> Iterator[Work]:
    for state in states:
        yield from copy_back.works(run, state, models[state.pair.old])


def _cut_over(state: PairState, model: Relation, parked_in: str) -> PairState:
    """Return what a pair will be once it is cut over; `model` is made like its old table."""
    old = replace(model, schema=state.new_table.schema, name=state.pair.old)
    aside = replace(state.at_old_name, schema=parked_in) if state.at_old_name else None
    parked = replace(state.new_table, schema=parked_in)
    return replace(
        state, state=State.CUT_OVER, at_old_name=old, at_new_name=None, private_old=aside, private_new=parked
    )


def _undo(run: Run, look: Look) -> Iterator[Work]:
    yield from undo.works(run, look, look.in_state(State.CUT_OVER))


def _drop(run: Run, look: Look) -> Iterator[Work]:
    yield from drop.works(run, look.in_state(*UNDOABLE, State.MIGRATED_AGAIN))


def _abandon(run: Run, look: Look) -> Iterator[Work]:
    yield from abandon.works(run, look)


def _migrate(run: Run, look: Look) -> Iterator[Work]:
    states = look.in_state(*migrate.START_STATES)
    if any(s.pair.in_place for s in states):
        return
    with scratch_tables(run.session, run.migration, {s.pair.new: s.pair.new_ddl for s in states}, "indexes") as made:
        yield from migrate.works(run, states, {s.pair.old: made[s.pair.new] for s in states})


_JOBS: dict[Job, Callable[[Run, Look], Iterator[Work]]] = {
    "rollback": _rollback,
    "prepare": _prepare,
    "undo_rollback": _undo,
    "drop_new_tables": _drop,
    "migrate": _migrate,
    "abandon": _abandon,
}


def _planned(run: Run, works: Iterable[Work]) -> Iterator[Planned]:
    """Yield every statement of these transactions, with those that begin and end them and the ledger's rows."""

    def planned(work: Work, statement: sql.Composable, why: str, provided: str | None = None) -> Planned:
        return Planned(
            work.step, work.pair, statement.as_string(run.session.connection), why, provided or work.provided
        )

    for work in works:
        statements = [planned(work, s, why_of(s), provided_of(s)) for s in work.statements if is_noted(s)]
        if work.alone:
            yield from statements
            continue
        yield planned(work, begin_statement(snapshot=work.snapshot), work.does)
        yield planned(work, path_statement(work.search_path or run.search_path), "where unqualified names are")
        yield from statements
        if work.outcome:
            row = ledger.placeholder(work.step, work.outcome, work.pair)
            yield planned(work, row, "what was done, in the transaction that did it")
        yield planned(work, sql.SQL("COMMIT"), "all of it, or nothing")
