"""Writes the evidence of a run: the HTML report and the same as JSON.

What evidence is and looks like is in `evidence`; here it is only gathered at the right moment and linked. A run that did
not end well is in `failure_reports`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, MetadataValue

from aicfg_pipeline.evidence import Finding, Known, PairNow, compare_with, gather
from aicfg_pipeline.evidence.facts import ReportKind
from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.orchestration.keeping import reports_kept, where_kept, write_report_file
from aicfg_pipeline.orchestration.links import report_link, run_address
from aicfg_pipeline.orchestration.stages import stages_of
from aicfg_pipeline.postgres.address import secrets_of
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.runbook.by_hand import ManualStep

KINDS: dict[str, ReportKind] = {
    "rollback": "rollback",
    "undo_rollback": "undo",
    "drop_new_tables": "drop",
    "verify": "verify",
    "prepare": "prepare",
    "abandon": "abandon",
    "migrate": "migrate",
    "plan": "plan",
    "rehearse": "rehearse",
}


def write_report(
    run: Run,
    job_name: str,
    commands: Commands,
    checks: Sequence[Check] | None = None,
    *,
    instance: DagsterInstance,
    by_hand: Sequence[ManualStep] | None = None,
    error: str | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Write the report of the run under way; return the HTML file and metadata that links it. Raises `ExportError`.

    `checks` None takes those that the run's own verification recorded, `by_hand` None what was written when it began.
    """
    look = run.look()
    started = _started(look.ledger.of_run(run.run_id))
    identity = {**run.session.one(engine("identity"))._asdict(), "target": run.session.target}
    known = Known(
        kind=KINDS[job_name],
        run_id=run.run_id,
        database=identity,
        migration=run.migration,
        checks=recorded_checks(run) if checks is None else checks,
        hazards=started.get("hazards", []),
        accepted=started.get("settings", {}).get("accept_hazards", ()),
        by_hand=started.get("by_hand", []) if by_hand is None else by_hand,
        states_before=started.get("states", {}),
        states_after=dict(look.summary),
        plan_hash=run.plan_hash or started.get("plan_hash"),
        who=started.get("who"),
        reason=started.get("reason"),
        settings=started.get("asked", {}),
        error=error,
        secrets=secrets_of(run.session.url),
        stages=stages_of(instance, run.run_id, run.session),
        run_url=run_address(run.run_id),
        command=commands.job,
    )
    evidence = gather(ledger.read(run.session, run.migration, statements=True), known)
    html, json = write_report_file(evidence, secrets=secrets_of(run.session.url))
    kept = where_kept(html)
    where = {"report_kept": MetadataValue.path(kept)} if kept else {}
    return html, {"report": report_link(html), "report_json": MetadataValue.path(json), **where}


def _started(entries: Sequence[Entry]) -> Mapping[str, Any]:
    """Return what the run wrote down when it began."""
    return next((e.facts for e in entries if e.step == "run" and e.outcome in ("started", "continued")), {})


def recorded_checks(run: Run) -> list[Check]:
    """Return the checks as the run's verification recorded them; none where it did not come that far."""
    entries = [e for e in ledger.read(run.session, run.migration).of_run(run.run_id) if e.step == "verify"]
    return [Check.read(c) for c in entries[-1].facts.get("checks", [])] if entries else []


def write_verification(
    run: Run,
    commands: Commands,
    checks: Sequence[Check],
    origin: Mapping[str, Any],
    *,
    instance: DagsterInstance,
    error: str | None,
) -> Path:
    """Write the report of a verification, which has no rows of its own in the ledger. Raises `ExportError`."""
    look = run.look()
    states = dict(look.summary)
    known = Known(
        kind="verify",
        run_id=run.run_id,
        database={**run.session.one(engine("identity"))._asdict(), "target": run.session.target},
        migration=run.migration,
        checks=checks,
        states_before=states,
        states_after=states,
        outcome="failed" if error else "succeeded",
        who=origin["who"],
        ended=datetime.now(UTC),
        error=error,
        secrets=secrets_of(run.session.url),
        stages=stages_of(instance, run.run_id, run.session),
        run_url=run_address(run.run_id),
        command=commands.job,
    )
    return write_report_file(gather((), known), secrets=known.secrets)[0]


def against_last_report(run: Run, checks: Sequence[Check]) -> tuple[str, list[Finding]] | None:
    """Compare the newest report of this migration on this database with what the checks found; None without a report."""
    identity = run.session.one(engine("identity"))
    for name, earlier in reports_kept():
        same = (earlier.database.name, earlier.database.system_identifier)
        of_this = earlier.migration in (None, run.migration.name)  # one of before does not say whose it is
        if of_this and same == (identity.database, identity.system_identifier):
            return name, compare_with(earlier, _pairs_now(run, checks, identity.system_identifier))
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
