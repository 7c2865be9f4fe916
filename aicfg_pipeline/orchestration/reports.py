"""Writes the evidence of a run: the HTML report and the same as JSON, also when the run failed.

What evidence is and looks like is in `evidence`; here it is only gathered at the right moment and linked.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster import HookContext, HookDefinition, MetadataValue, failure_hook

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.evidence import Finding, Known, PairNow, compare_with, gather, read, write
from aicfg_pipeline.orchestration.commands import Commands, commands_for
from aicfg_pipeline.orchestration.home import report_folder
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.postgres.address import secrets_of
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback import ledger, lifecycle
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.spec.model import Migration

KINDS = {"rollback": "rollback", "undo_rollback": "undo", "drop_new_tables": "drop"}


def write_report(
    run: Run, job_name: str, commands: Commands, checks: Sequence[Check] | None = None, *, error: str | None = None
) -> tuple[Path, dict[str, Any]]:
    """Write the report of the run under way; return the HTML file and metadata that links it.

    `checks` None takes those that the run's own verification recorded. Raises `ExportError`.
    """
    look = run.look()
    started = _started(look.ledger.of_run(run.run_id))
    identity = {**run.session.one(engine("identity"))._asdict(), "target": run.session.target}
    known = Known(
        kind=KINDS[job_name],  # type: ignore[arg-type]
        run_id=run.run_id,
        database=identity,
        migration=run.migration,
        checks=recorded_checks(run) if checks is None else checks,
        hazards=started.get("hazards", []),
        accepted=started.get("settings", {}).get("accept_hazards", ()),
        by_hand=started.get("by_hand", []),
        states_before=started.get("states", {}),
        states_after=dict(look.summary),
        plan_hash=run.plan_hash or started.get("plan_hash"),
        error=error,
        secrets=secrets_of(run.session.url),
        command=commands.job,
    )
    evidence = gather(ledger.read(run.session, run.migration, statements=True), known)
    html, json = write(evidence, report_folder(), secrets=secrets_of(run.session.url))
    return html, {"report": MetadataValue.url(html.as_uri()), "report_json": MetadataValue.path(json)}


def _started(entries: Sequence[Entry]) -> Mapping[str, Any]:
    """Return what the run wrote down when it began."""
    return next((e.facts for e in entries if e.step == "run" and e.outcome in ("started", "continued")), {})


def recorded_checks(run: Run) -> list[Check]:
    """Return the checks as the run's verification recorded them; none where it did not come that far."""
    entries = [e for e in ledger.read(run.session, run.migration).of_run(run.run_id) if e.step == "verify"]
    return [Check.read(c) for c in entries[-1].facts.get("checks", [])] if entries else []


def report_failed_run(
    open_run: Callable[[], Run], job_name: str, commands: Commands, error: str, log: logging.Logger
) -> None:
    """Write that a run failed into the ledger, and its evidence into a report. Never raises what a person can mend."""
    try:
        run = open_run()
        if not ledger.read(run.session, run.migration).of_run(run.run_id):
            return  # refused before anything was touched: the step's own message says it all
        lifecycle.failed(run, error)
        if job_name in KINDS:
            html, _ = write_report(run, job_name, commands, error=error)
            log.info(f"report of the failed run: {html.as_uri()}")
    except PipelineError as problem:
        log.error(f"The report of the failed run could not be written: {problem}")


def failure_report(migration: Migration) -> HookDefinition:
    """Return the hook that writes a failed run into the ledger and its evidence into a report."""

    @failure_hook(name="report_failure", required_resource_keys={"postgres"})
    def report_failure(context: HookContext) -> None:
        postgres: PostgresResource = context.resources.postgres

        def opened() -> Run:
            session = postgres.locked_session(f"aicfg_pipeline {context.job_name} {context.run_id[:8]}")
            return Run(session, migration, context.run_id, say=context.log.info)

        error = str(context.op_exception or "the step was interrupted")
        try:
            commands = commands_for(postgres.target())
        except PipelineError:
            return  # no target: nothing was touched, and the step's own message says it all
        report_failed_run(opened, context.job_name, commands, error, context.log)

    return report_failure


def against_last_report(run: Run, checks: Sequence[Check]) -> tuple[Path, list[Finding]] | None:
    """Compare the newest report on this very database with what the checks have just found; None without a report."""
    identity = run.session.one(engine("identity"))
    for path in sorted(report_folder().glob("*.json"), key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            earlier = read(path)
        except PipelineError:
            continue  # another file, or of another version: there is nothing to compare with in it
        same = (earlier.database.name, earlier.database.system_identifier)
        if same == (identity.database, identity.system_identifier):
            return path, compare_with(earlier, _pairs_now(run, checks, identity.system_identifier))
    return None


def _pairs_now(run: Run, checks: Sequence[Check], system: str) -> list[PairNow]:
    counted = {c.pair: c.facts for c in checks if c.name == "row_count"}
    return [
        PairNow(
            old=state.pair.old,
            state=str(state.state),
            rows=counted.get(state.pair.old, {}).get("rows_after"),
            checksum=counted.get(state.pair.old, {}).get("checksum_after"),
            keys_written_since=counted.get(state.pair.old, {}).get("keys_written_since"),
            system_identifier=system,
        )
        for state in run.look().pairs
    ]
