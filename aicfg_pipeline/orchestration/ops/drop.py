"""Ops that let the parked tables go, and the one that ends a rollback."""

import logging
from typing import Any

from dagster import AssetObservation, OpDefinition

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.console import quietly
from aicfg_pipeline.orchestration.keeping import export_store
from aicfg_pipeline.orchestration.metadata import metadata
from aicfg_pipeline.orchestration.ops.end import finish
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.orchestration.ops.verify import run_and_log_checks
from aicfg_pipeline.orchestration.reports import recorded_checks
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.state import UNDOABLE
from aicfg_pipeline.rollback.steps import drop, verify
from aicfg_pipeline.rollback.tables.parked import retained_until
from aicfg_pipeline.spec.model import Migration
from aicfg_pipeline.store.kept import Store


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


def drop_at_the_end_op(migration: Migration) -> OpDefinition:
    """Return the op that drops at the end of a rollback; where the new tables are kept it is skipped."""
    return step_op(
        migration,
        "drop_at_the_end",
        lambda step: _dropped(step, export_store(step.target), before_retention_ends=True),
        "Only with retain_days: 0: exports and drops the parked tables. Skipped where they are kept.",
    )


def report_op(migration: Migration) -> OpDefinition:
    """Return the op that ends a rollback."""
    return step_op(
        migration,
        "report",
        _report,
        "Writes the report, and says how it ended, which steps are yours now, until when the new tables are parked, and"
        " how to undo.",
    )


def _drop(step: Step) -> dict[str, Any]:
    run = step.run
    lifecycle.must_have_begun(run, "drop")
    store = export_store(step.target)
    lifecycle.begin(run, step.job, step.origin)
    facts = _dropped(step, store, before_retention_ends=step.request.before_retention_ends)
    return {**finish(step, verify.run_checks(run.session, run.migration)), **facts}


def _report(step: Step) -> dict[str, Any]:
    run, look = step.run, step.run.look()
    dropped = any(e.step == "drop" and e.outcome == "done" for e in look.ledger.of_run(run.run_id))
    checks = run_and_log_checks(step.context, run) if dropped else None
    if checks is not None:
        checks += [c for c in recorded_checks(run) if c.asset == "service"]
    for state in look.in_state(*UNDOABLE):
        until = retained_until(look.ledger, state.pair.old)
        told = f"{state.pair.new}: parked until {until:%Y-%m-%d %H:%M} UTC" if until else f"{state.pair.new}: parked"
        quietly(step.context.log, logging.INFO, told)
    return finish(step, checks)


def _dropped(step: Step, store: Store, *, before_retention_ends: bool) -> dict[str, Any]:
    run = step.run
    checks = verify.run_checks(run.session, run.migration)
    facts = drop.drop_new_tables(run, store, checks, before_retention_ends=before_retention_ends)
    for old, found in facts.items():
        key = asset_key(run.migration.pair(old), "new")
        step.context.log_event(
            AssetObservation(asset_key=key, description="exported and dropped", metadata=metadata(found))
        )
    return {"dropped": bool(facts), **facts}
