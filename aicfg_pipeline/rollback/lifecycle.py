"""Which run is under way, according to the ledger: begin, belong, finish; and confirming the database.

The run lock says that a run is alive; the ledger says whose work the next step would go on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from aicfg_pipeline.errors import AlreadyRunningError, ConfigError, StateError, redact
from aicfg_pipeline.postgres.address import confirms
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback import ledger, own
from aicfg_pipeline.rollback.ledger import Entry, Ledger
from aicfg_pipeline.rollback.run import Run

UNFINISHED = ("started", "continued", "failed")


def current(book: Ledger) -> Entry | None:
    """Return the newest row of the run that has not finished (under way, dead or failed), or None."""
    last = book.last("run")
    return last if last and last.outcome in UNFINISHED else None


def begin(run: Run, kind: str, facts: dict[str, Any] | None = None) -> None:
    """Write that a run is under way. A run that never finished and whose process is gone is taken over.

    The caller holds the run lock, so whoever started the other run is dead: its lock went with its connection.
    """
    look = run.look()
    if not look.ledger.readable:
        own.must_be_ours(run.session, run.migration)  # raises, and says whose it is
    before, owner = current(look.ledger), look.owner
    made = ledger.prepare_statements(run.session, run.migration, own.on_behalf_of(run.session, owner))
    with run.writing() as session:
        session.script(made)
        if before and before.run_id != run.run_id:
            run.say(
                f"run {before.run_id[:8]} ({before.facts.get('kind', '?')}) never finished and is gone: taking over"
            )
            run.record("run", "taken_over", facts={"from": before.run_id})
        run.record(
            "run",
            "started",
            facts={**_where(run), **_what(run), "kind": kind, "settings": asdict(run.settings), **(facts or {})},
        )


def _where(run: Run) -> dict[str, Any]:
    """Which database this is: its name, and what PostgreSQL itself calls the server."""
    return {"target": run.session.target, "system_identifier": run.session.one(engine("identity")).system_identifier}


def _what(run: Run) -> dict[str, Any]:
    """Which migration this is: its tables, so that another one can tell it by them."""
    return {"schema": run.migration.schema, "pairs": {p.old: p.new for p in run.migration.pairs}}


def must_be_ours(run: Run, ancestors: Sequence[str | None] = ()) -> None:
    """Refuse a step whose run is not the one under way; else let it go on under the same plan.

    A re-execution goes on with its parent's work, and with what that wrote down when it began.
    """
    book = ledger.read(run.session, run.migration)
    under_way = current(book)
    if under_way is None:
        raise StateError(
            "No run is under way on this database, so this step has nothing to go on with.",
            remedy="Launch the whole job, not a single step of it.",
        )
    began = _began(book, under_way)
    run.plan_hash = began.plan_hash
    if under_way.run_id == run.run_id:
        return
    if under_way.run_id not in ancestors:
        raise AlreadyRunningError(
            f"The run under way on this database is {under_way.run_id}, not {run.run_id}.",
            remedy="Launch the whole job again; it takes over what is unfinished.",
        )
    with run.writing():
        run.record("run", "continued", facts={**began.facts, "from": under_way.run_id})


def goes_on(book: Ledger, kind: str, plan_hash: str) -> bool:
    """Whether an unfinished run of that kind is under way that began under this very plan."""
    under_way = current(book)
    if under_way is None:
        return False
    began = _began(book, under_way)
    return began.facts.get("kind") == kind and began.plan_hash == plan_hash


def _began(book: Ledger, under_way: Entry) -> Entry:
    """Return the row in which the run under way wrote down what it was to do. Its newest may be that it failed."""
    rows = [e for e in book.of_run(under_way.run_id) if e.step == "run" and e.outcome in ("started", "continued")]
    return rows[-1] if rows else under_way


def must_have_begun(run: Run, wanted: str) -> None:
    """Raise `StateError` where no run of this pipeline has ever worked: nothing is made only to find that out."""
    if not ledger.knows(run.session, run.migration):
        database = run.session.one(engine("identity")).database
        raise StateError(
            f"There is nothing to {wanted}: no rollback of this pipeline has been in database {database!r}"
            f" ({run.session.target}).",
            expected="a ledger in the schema aicfg_rollback that knows this migration",
            remedy="Check that AICFG_DATABASE_URL names the database you mean. The job plan says what state it is in.",
        )


def failed(run: Run, error: str) -> None:
    """Write that the run failed, and why; a re-execution or the next run goes on from what it left."""
    with run.writing():
        run.record("run", "failed", facts={"error": redact(error)})


def finish(run: Run, facts: dict[str, Any] | None = None) -> None:
    """Write that the run has done what it was asked for."""
    with run.writing() as session:
        session.script(own.leave_schema(session))
        run.record("run", "finished", facts=facts)


def confirm(run: Run, *, must_confirm: bool) -> None:
    """Raise `ConfigError` where the database is not the one the operator named."""
    database = run.session.one(engine("identity")).database
    named, target = run.settings.confirm_database, run.session.target
    if confirms(named, target, database) or (named is None and not must_confirm):
        return
    raise ConfigError(
        f"Not confirmed: the target is {target}, confirm_database is {named or 'missing'}. Nothing was touched.",
        expected=f"confirm_database: {target}, if that is the database you mean",
        remedy="Set confirm_database in run.yaml. The job plan prints a complete one.",
    )
