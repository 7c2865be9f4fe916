"""The ops that run every check, and how verdicts are logged."""

import logging
from typing import Any

from dagster import AssetMaterialization, OpDefinition, OpExecutionContext

from aicfg_pipeline.errors import GateError
from aicfg_pipeline.orchestration import world
from aicfg_pipeline.orchestration.assets import verification_key
from aicfg_pipeline.orchestration.console import quietly
from aicfg_pipeline.orchestration.home import report_folder
from aicfg_pipeline.orchestration.keeping import keep
from aicfg_pipeline.orchestration.metadata import check_evaluation
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.orchestration.reports import against_last_report, write_verification
from aicfg_pipeline.orchestration.service_checks import look_at_services
from aicfg_pipeline.orchestration.terminal import bold, show
from aicfg_pipeline.rollback.checks.check import Check, Tally
from aicfg_pipeline.rollback.checks.inspection import Inspection
from aicfg_pipeline.rollback.checks.rows import write_differences
from aicfg_pipeline.rollback.run import Run, at_work
from aicfg_pipeline.rollback.state import UNDOABLE
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.spec.model import Migration

DROP_NOW = "drop_now"
"""The output that only a run has which drops at its end: without it the drop is skipped, and grey."""


def drops_now(step: Step) -> bool:
    """Whether the parked tables are not to be kept."""
    return step.run.settings.retain_days == 0 and bool(step.run.look().in_state(*UNDOABLE))


def verify_op(migration: Migration) -> OpDefinition:
    """Return the op of the gate after."""
    return step_op(
        migration,
        "verify",
        _verify_after_cut_over,
        "The gate after: every asset check. One that fails stops the run before anything is dropped, while"
        " the rollback can still be undone.",
        only_if={DROP_NOW: drops_now},
    )


def verify_only_op(migration: Migration) -> OpDefinition:
    """Return the op of the job `verify`."""
    return step_op(
        migration,
        "verify_only",
        _verify,
        "Every asset check, and what differs from the last report on this database. Reads only.",
        opens=Opens.LOOKS,
    )


def _verify_after_cut_over(step: Step) -> dict[str, Any]:
    checks = run_and_log_checks(step.context, step.run, just_proven=True) + log_service_checks(step)
    _record_verify(step.run, checks)
    undo = f"or take the rollback back: {step.commands.job('undo_rollback')}"
    verify.gate(checks, remedy=f"Mend what is named and run again; {undo}")
    step.context.log.info(f"verify: {Tally.of(checks)}")
    _log_passed(step, checks)
    return _counts(checks)


def _verify(step: Step) -> dict[str, Any]:
    checks = run_and_log_checks(step.context, step.run) + log_service_checks(step)
    _log_findings(step.context, step.run, checks)
    _gate(step, checks)
    quietly(step.context.log, logging.INFO, f"verify: {Tally.of(checks)}")
    _log_passed(step, checks)
    show([bold(f"verify: {Tally.of(checks)}", "good")])
    return _counts(checks)


def _log_passed(step: Step, checks: list[Check]) -> None:
    """Materialize what stands for a verification in which nothing has failed."""
    counted: dict[str, Any] = {**_counts(checks), "target": step.target.name}
    step.context.log_event(AssetMaterialization(asset_key=verification_key(step.migration), metadata=counted))


def _gate(step: Step, checks: list[Check]) -> None:
    """Let what is wrong stop the run, with a report for whoever looks at it next day. Raises `GateError`."""
    try:
        verify.gate(checks, remedy="Mend what is named and run verify again.")
    except GateError as error:
        html = write_verification(
            step.run, step.commands, checks, step.origin, instance=step.context.instance, error=str(error)
        )
        step.context.log.info(f"report of the failed verification: {html}")
        raise


def _counts(checks: list[Check]) -> dict[str, Any]:
    tally = Tally.of(checks)
    return {"checks": len(checks), "passed": tally.passed, "do_not_apply": tally.not_applicable}


def run_and_log_checks(context: OpExecutionContext, run: Run, *, just_proven: bool = False) -> list[Check]:
    """Run every check and log each verdict on its asset."""
    for event in world.news(context.instance, world.of_tables(run.look())):
        context.log_event(event)
    inspection = verify.inspect(run.session, run.migration, just_proven=just_proven)
    with at_work(run, "verify: the checks"):
        checks = verify.run_checks(run.session, run.migration, on=inspection)
    _log_checks(context, run, checks)
    _write_differences(context, run, inspection, verify.failed(checks))
    return checks


def _log_checks(context: OpExecutionContext, run: Run, checks: list[Check]) -> None:
    for check in checks:
        evaluation = check_evaluation(run.migration, check)
        if evaluation is None:
            quietly(
                context.log, logging.INFO, f"does not apply: {check.asset} {check.pair}: {check.name}: {check.summary}"
            )
            continue
        context.log_event(evaluation)  # type: ignore[arg-type]  # it takes them, untyped
        if check.failed:
            context.log.warning(f"FAILED {check.asset} {check.pair}: {check.name}: {check.summary}")


def log_service_checks(step: Step) -> list[Check]:
    """The same for the services that are configured, with the numbers that plot."""
    context, run = step.context, step.run
    for stands in world.news(context.instance, world.of_services(run.look(), step.services.settings())):
        context.log_event(stands)
    looked = look_at_services(run.session, run.migration, step.services.settings(), context.instance)
    for event in looked.observations():
        context.log_event(event)
    _log_checks(context, run, looked.checks)
    return looked.checks


def _write_differences(context: OpExecutionContext, run: Run, inspection: Inspection, wrong: list[Check]) -> None:
    """Put the differing rows of every pair whose data checks failed beside the report, as CSV."""
    for old in {c.pair for c in wrong if c.name in ("row_count", "checksum", "rows")}:
        file = write_differences(inspection, run.migration.pair(old), report_folder(), f"differences-{run.run_id[:8]}")
        if file:
            keep(file, again=True)
            context.log.warning(f"{old}: every differing value: {file}")


def _log_findings(context: OpExecutionContext, run: Run, checks: list[Check]) -> None:
    """Say where the database of now differs from the last report on it, and what explains it."""
    compared = against_last_report(run, checks)
    if compared is None:
        context.log.info("There is no earlier report on this database to compare with.")
        return
    name, findings = compared
    context.log.info(f"compared with {name}: {sum(f.ok for f in findings)} of {len(findings)} facts agree")
    for finding in findings:
        if finding.judgement != "agrees":
            (context.log.info if finding.ok else context.log.warning)(f"{finding.judgement}: {finding}")


def _record_verify(run: Run, checks: list[Check]) -> None:
    wrong = verify.failed(checks)
    facts = {"checks": [c.recorded for c in checks]}
    with run.writing():
        run.record("verify", "failed" if wrong else "passed", facts=facts)
