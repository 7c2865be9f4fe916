"""The ops of the services: stop, revert the code, redeploy, start; and what is done for them when another op fails.

What each does is in `rollback.service_steps`. An op whose service is not configured says so, loudly, and does nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from dagster import (
    AssetObservation,
    DagsterExecutionInterruptedError,
    In,
    MetadataValue,
    OpDefinition,
    OpExecutionContext,
    Out,
    Output,
    op,
)

from aicfg_pipeline.errors import AlreadyRunningError, HazardError, PipelineError
from aicfg_pipeline.orchestration.assets import service_key
from aicfg_pipeline.orchestration.metadata import failures, metadata
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, State
from aicfg_pipeline.runbook import remembered
from aicfg_pipeline.runbook import steps as service_steps
from aicfg_pipeline.runbook.steps import Facts
from aicfg_pipeline.services.settings import ManualStep, ServicesSettings
from aicfg_pipeline.spec.model import Migration

Act = Callable[[Run, ServicesSettings], Facts]
OpenRun = Callable[[OpExecutionContext, PostgresResource, Migration, Mapping[str, Any]], Run]
"""Opens the run of an op and makes sure that it is the one under way; given by `ops`."""


def build_service_ops(migration: Migration, open_and_link: OpenRun) -> list[OpDefinition]:
    """Return the ops of the services."""

    def made(name: str, asset: str | None, act: Act, description: str) -> OpDefinition:
        return _service_op(migration, open_and_link, name, asset, act, description)

    return [
        made(
            "stop_services",
            "lambdas",
            lambda run, services: service_steps.stop_services(run, services, *TO_ROLL_BACK),
            "Runbook 1. Writes into the ledger what each Lambda function is set to, then event sources off, concurrency"
            " 0, and waits for what is in flight. Not needed for the cut-over. On failure: started again as they were.",
        ),
        made(
            "revert_code",
            "repository",
            service_steps.revert_code,
            "Runbook 3 and 4. Takes the Lambda's code and the schema files back in one commit on a branch of its own,"
            " and sees that no new table name is left. On failure: the working copy is as it was.",
        ),
        made(
            "redeploy",
            None,
            service_steps.redeploy,
            "Runbook 5. Runs the deploy script; its output is in this run's log. On failure: the database stays"
            " undoable, run again to go on.",
        ),
        made(
            "start_services",
            "lambdas",
            service_steps.start_services,
            "Starts what was stopped, with exactly what was there before.",
        ),
        made(
            "undo_code",
            "repository",
            service_steps.undo_code,
            "Puts the working copy back on the branch it was on before the revert.",
        ),
        made(
            "redeploy_new_names",
            None,
            lambda run, services: service_steps.redeploy(run, services, remembered.FORTH),
            "Deploys the code with the new names again, if this pipeline has deployed the old ones.",
        ),
    ]


def _service_op(
    migration: Migration, open_and_link: OpenRun, name: str, asset: str | None, act: Act, description: str
) -> OpDefinition:
    @op(name=name, ins={"before": In(dict)}, out=Out(dict), description=description, tags={"kind": "service"})
    def service_(
        context: OpExecutionContext, before: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_and_link(context, postgres, migration, before)
            try:
                facts = act(run, services.settings())
            finally:
                services.note_stopped(remembered.open_stop(run.look().ledger) if _usable(run) else None)
        _tell(context, name, asset, facts)
        yield Output(before, metadata=metadata(_shown(facts)))

    return service_


def _usable(run: Run) -> bool:
    return not (run.session.connection.closed or run.session.connection.broken)


def _tell(context: OpExecutionContext, name: str, asset: str | None, facts: Facts) -> None:
    if facts.get("configured") is False:
        context.log.warning(
            f"{name}: {facts['not_configured']} is not configured, so nothing was done here: do it by hand"
        )
    elif asset is not None:
        told = facts.get("why_not") or "done"
        context.log_event(
            AssetObservation(
                asset_key=service_key(asset), description=f"{name}: {told}", metadata=metadata(_shown(facts))
            )
        )


def _shown(facts: Facts) -> Facts:
    by_hand = facts.get("do_by_hand")
    shown = {k: v for k, v in facts.items() if v != [] and v != ()}
    return shown | ({"do_by_hand": MetadataValue.md(f"```\n{by_hand}\n```")} if by_hand else {})


# --- the plan --------------------------------------------------------------------------------------------------


def plan_services(context: OpExecutionContext, migration: Migration, services: ServicesResource) -> None:
    """Show what is configured and what is left to a person, and refuse what is configured and can't be used.

    Raises `ServiceError` with every complaint at once, before anything is touched.
    """
    settings = services.settings()
    found, wrong = service_steps.check_services(settings)
    steps = settings.manual_steps(service_steps.names_of(migration))
    shown = "\n".join(
        [
            "## Services",
            "",
            *(f"- ready: {line}" for line in found),
            *(f"- **can't be used**: {line}" for line in wrong),
            *(_by_hand_markdown(step) for step in steps),
        ]
    )  # fmt: skip
    print(shown, flush=True)
    context.log_event(
        AssetObservation(
            asset_key=service_key("lambdas"), description="plan", metadata={"plan": MetadataValue.md(shown)}
        )
    )
    for line in found:
        context.log.info(f"ready: {line}")
    if steps:
        names = ", ".join(s.service for s in steps)
        context.log.warning(f"not configured, so left to be done by hand (the plan has the commands): {names}")
    service_steps.refuse(wrong)


def _by_hand_markdown(step: ManualStep) -> str:
    told = f"- not configured: {step.service} (runbook step {step.runbook_step}): do it by hand. {step.title}"
    return f"{told}\n\n```\n{step.command}\n```"


def services_by_hand(migration: Migration, services: ServicesResource) -> list[dict[str, Any]]:
    """Return what is left to a person, for the run's evidence."""
    return [asdict(s) for s in services.settings().manual_steps(service_steps.names_of(migration))]


# --- when an op fails ------------------------------------------------------------------------------------------


@contextmanager
def services_guarded(
    context: OpExecutionContext, migration: Migration, postgres: PostgresResource, services: ServicesResource
) -> Iterator[None]:
    """Whatever fails within: start stopped services again at once, and let the failure say what is where."""
    try:
        yield
    except PipelineError as error:
        told = _after_failure(context, migration, postgres, services, error)
        error.aftermath = "\n".join(told) or None
        raise
    except (Exception, KeyboardInterrupt, DagsterExecutionInterruptedError) as error:
        for line in _after_failure(context, migration, postgres, services, error):
            context.log.error(line)
        raise


def _after_failure(
    context: OpExecutionContext,
    migration: Migration,
    postgres: PostgresResource,
    services: ServicesResource,
    error: BaseException,
) -> list[str]:
    """Only a run that holds the run lock may start anything: else another run is at work, and has stopped them.

    Nor is anything done for a database that is not the one the operator named.
    """
    unconfirmed = isinstance(error, HazardError) and "not_confirmed" in error.codes
    if unconfirmed or isinstance(error, AlreadyRunningError):
        return []
    try:
        settings = services.settings()
        session = postgres.locked_session(f"aicfg_pipeline {context.job_name} {context.run_id[:8]}")
    except PipelineError:
        return []  # what this process has stopped itself is started by the resource's teardown
    run = Run(session, migration, context.run_id, say=context.log.info)
    running, told = service_steps.after_failure(run, settings)
    if running:
        services.note_stopped(None)
    return told


UNDOABLE = (State.CUT_OVER,)


def stop_for_undo(run: Run, services: ServicesResource) -> Facts:
    """Stop the services before an undo, within its op: only there the database is confirmed."""
    facts = service_steps.stop_services(run, services.settings(), *UNDOABLE)
    services.note_stopped(remembered.open_stop(run.look().ledger))
    return facts
