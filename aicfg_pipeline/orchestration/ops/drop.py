"""Ops that let the parked tables go, and the one that ends a rollback."""

from typing import Any

from dagster import AssetObservation, OpDefinition

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.home import export_folder
from aicfg_pipeline.orchestration.metadata import metadata
from aicfg_pipeline.orchestration.ops.end import finish
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.orchestration.ops.verify import run_and_log_checks
from aicfg_pipeline.orchestration.reports import recorded_checks
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.steps import drop, verify
from aicfg_pipeline.rollback.tables.parked import retained_until
from aicfg_pipeline.spec.model import Migration


def drop_op(migration: Migration) -> OpDefinition:
    """Return the op that drops what is parked."""
    return step_op(
        migration,
        "drop_new_tables",
        _drop,
        "Exports the parked tables, compares once more under lock, and drops them with logs and triggers."
        " The ledger stays. Refuses before the retention ends, unless told, and while a check fails.",
        opens=Opens.BEGINS,
    )


def end_op(migration: Migration) -> OpDefinition:
    """Return the op that ends a rollback."""
    return step_op(
        migration,
        "drop_at_the_end",
        _end,
        "With retain_days: 0 exports and drops the parked tables; else says until when they are kept, and"
        " how to drop or undo.",
    )


def _drop(step: Step) -> dict[str, Any]:
    run = step.run
    lifecycle.must_have_begun(run, "drop")
    lifecycle.begin(run, step.context.job_name)
    facts = _dropped(step, before_retention_ends=step.request.before_retention_ends)
    return {**finish(step, verify.run_checks(run.session, run.migration)), **facts}


def _end(step: Step) -> dict[str, Any]:
    facts = _drop_at_end(step)
    checks = run_and_log_checks(step.context, step.run) if facts["dropped"] else None
    if checks is not None:
        checks += [c for c in recorded_checks(step.run) if c.asset == "service"]
    return {**finish(step, checks), **facts}


def _drop_at_end(step: Step) -> dict[str, Any]:
    """Drop now, or say until when the new tables are parked."""
    run = step.run
    parked = run.look().in_state(State.CUT_OVER)
    if parked and run.settings.retain_days > 0:
        for state in parked:
            until = retained_until(run.look().ledger, state.pair.old)
            step.context.log.info(f"{state.pair.new}: parked until {until:%Y-%m-%d %H:%M} UTC" if until else "parked")
        return {"dropped": False}
    return _dropped(step, before_retention_ends=True)


def _dropped(step: Step, *, before_retention_ends: bool) -> dict[str, Any]:
    run = step.run
    checks = verify.run_checks(run.session, run.migration)
    facts = drop.drop_new_tables(run, export_folder(), checks, before_retention_ends=before_retention_ends)
    for old, found in facts.items():
        key = asset_key(run.migration.pair(old), "new")
        step.context.log_event(
            AssetObservation(asset_key=key, description="exported and dropped", metadata=metadata(found))
        )
    return {"dropped": bool(facts), **facts}
