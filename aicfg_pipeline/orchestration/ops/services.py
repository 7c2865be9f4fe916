"""The ops of the services: stop, revert the code, redeploy, start.

What each does is in `runbook`: `functions`, `code`, `deploy`. An op whose service is not configured says so,
loudly, and does nothing.
"""

import logging
from collections.abc import Callable

from dagster import AssetObservation, MetadataValue, OpDefinition

from aicfg_pipeline.orchestration.assets import service_key
from aicfg_pipeline.orchestration.console import quietly
from aicfg_pipeline.orchestration.metadata import metadata
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Step
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, State
from aicfg_pipeline.runbook import code, deploy, functions, remembered
from aicfg_pipeline.runbook.by_hand import Facts
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec.model import Migration

Act = Callable[[Run, ServicesSettings], Facts]


def build_service_ops(migration: Migration) -> list[OpDefinition]:
    """Return the ops of the services."""

    def made(name: str, asset: str | None, act: Act, description: str) -> OpDefinition:
        return step_op(
            migration, name, lambda step: _done(step, name, asset, act), description, kind="service"
        )  # fmt: skip

    return [
        made(
            "stop_services",
            "lambdas",
            lambda run, services: functions.stop_services(run, services, *TO_ROLL_BACK),
            "Runbook 1. Writes into the ledger what each Lambda function is set to, then event sources off, concurrency"
            " 0, and waits for what is in flight. Not needed for the cut-over. On failure: started again as they were.",
        ),
        made(
            "revert_code",
            "repository",
            code.revert_code,
            "Runbook 3 and 4. Takes the Lambda's code and the schema files back in one commit on a branch of its own,"
            " and sees that no new table name is left. On failure: the working copy is as it was.",
        ),
        made(
            "redeploy",
            None,
            deploy.redeploy,
            "Runbook 5. Runs the deploy script; its output is in this run's log. On failure: the database stays"
            " undoable, run again to go on.",
        ),
        made(
            "start_services",
            "lambdas",
            functions.start_services,
            "Starts what was stopped, with exactly what was there before.",
        ),
        made(
            "undo_code",
            "repository",
            code.undo_code,
            "Puts the working copy back on the branch it was on before the revert.",
        ),
        made(
            "redeploy_new_names",
            None,
            lambda run, services: deploy.redeploy(run, services, remembered.FORTH),
            "Deploys the code with the new names again, if this pipeline has deployed the old ones.",
        ),
    ]


def stop_services(step: Step, *states: State) -> Facts:
    """Stop the services within a step that does more: before an undo the database is confirmed only there."""
    return _acted(step, lambda run, services: functions.stop_services(run, services, *states))


def _done(step: Step, name: str, asset: str | None, act: Act) -> Facts:
    facts = _acted(step, act)
    shown = _shown(facts)
    if facts.get("configured") is False:
        told = f"{name}: {facts['not_configured']} is not configured, so nothing was done here: do it by hand"
        quietly(step.context.log, logging.WARNING, told)
    elif asset is not None:
        told = f"{name}: {facts.get('why_not') or 'done'}"
        step.context.log_event(
            AssetObservation(
                asset_key=service_key(asset, step.migration.instance), description=told, metadata=metadata(shown)
            )
        )
    return shown


def _acted(step: Step, act: Act) -> Facts:
    """Act, and keep in mind what is stopped now, however it ended."""
    run, services = step.run, step.services
    try:
        return act(run, services.settings())
    finally:
        services.note_stopped(remembered.open_stop(run.look().ledger) if _usable(run) else None)


def _usable(run: Run) -> bool:
    return not (run.session.connection.closed or run.session.connection.broken)


def _shown(facts: Facts) -> Facts:
    by_hand = facts.get("do_by_hand")
    shown = {k: v for k, v in facts.items() if v != [] and v != ()}
    return shown | ({"do_by_hand": MetadataValue.md(f"```\n{by_hand}\n```")} if by_hand else {})
