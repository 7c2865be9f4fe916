"""The plan of a job, shown: what a dry run of any job is, and what the job `plan` does for a rollback."""

import logging
from collections.abc import Sequence

from dagster import AssetObservation, MetadataValue

from aicfg_pipeline.orchestration import plan_told
from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.console import quietly
from aicfg_pipeline.orchestration.keeping import export_store
from aicfg_pipeline.orchestration.metadata import plan_markdown
from aicfg_pipeline.orchestration.ops.approve import WITH_SERVICES, services_meant
from aicfg_pipeline.orchestration.ops.by_hand import left_to_a_person, try_services
from aicfg_pipeline.orchestration.ops.step import Step
from aicfg_pipeline.orchestration.rehearsed import JOB, rehearsed, with_hazard
from aicfg_pipeline.orchestration.steps_told import named
from aicfg_pipeline.orchestration.terminal import show
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.runbook.by_hand import ManualStep, open_steps
from aicfg_pipeline.runbook.ready import refuse


def show_plan(step: Step, job: str) -> plan.Plan:
    """Make the plan of a job, show it, and let its gate judge.

    Raises `HazardError` naming every hazard that blocks, and `ServiceError` naming every service that can't be used.
    """
    context, accepted = step.context, step.run.settings.accept_hazards
    if job == "drop_new_tables" or (job == "rollback" and step.run.settings.retain_days == 0):
        export_store(step.target)
    found = plan.make_plan(step.run, must_confirm=step.must_confirm, job=job, also=services_meant(step, job))  # type: ignore[arg-type]
    tried = rehearsed(found) if job == JOB and found.statements else None
    if tried:
        found = with_hazard(found, tried, step.commands.job("rehearse"))
    blocking = found.blocking(accepted)
    for state in found.look.pairs:
        quietly(context.log, logging.INFO, f"{state.pair.old}: {state.state} ({state.because})")
    for hazard in found.hazards:
        if hazard in blocking:  # the failure says it on the console
            quietly(context.log, logging.ERROR, str(hazard))
        else:
            context.log.warning(str(hazard))
    files = plan_told.keep(found, job, step.target.told, step.commands, step.request, _next(step, job), tried)
    steps = left_to_a_person(step) if found.statements else ()
    _observe(step, found, files, steps)
    tries = job in WITH_SERVICES and not blocking and not _untouched(step, found)
    services = try_services(step) if tries else None
    told = plan_told.Told(files, steps, step.request, tried)
    show(plan_told.plan_lines(found, job, accepted, told))
    if step.looks:
        show(
            ["", *plan_told.verdict_lines(
                found, job, accepted, steps=open_steps(steps), next_commands=_next(step, job)
            )]
        )  # fmt: skip
    plan.gate(found, accepted)
    refuse(services.wrong if services else ())
    todo = counted(len(found.statements), "statement") if found.statements else "nothing to do"
    quietly(
        context.log,
        logging.INFO,
        f"plan {found.hash} of {job}: {todo}, {counted(len(found.hazards), 'hazard')}, none blocks",
    )
    return found


def _untouched(step: Step, found: plan.Plan) -> bool:
    """Whether there is nothing to do and never was: then the services are nobody's business."""
    return found.nothing_to_do and not ledger.knows(step.run.session, step.migration)


def _next(step: Step, job: str) -> tuple[str, ...]:
    asked = {k: v for k, v in step.request.as_config().items() if v and k in ("accept_hazards",)}
    return tuple(dict.fromkeys([step.commands.job(job, **asked), step.commands.dg(job, **asked)]))


def _observe(step: Step, found: plan.Plan, files: plan_told.PlanFiles, steps: Sequence[ManualStep]) -> None:
    stays = [f"**{counted(len(open_steps(steps)), 'step')} outside the database: yours**: {named(steps)}", ""]
    shown = plan_markdown(
        found, step.run.settings.accept_hazards, target=step.target.told, commands=step.commands, request=step.request
    )
    where = {"statements": MetadataValue.path(files.statements)} if files.statements else {}
    step.context.log_event(
        AssetObservation(
            asset_key=asset_key(found.look.pairs[0].pair, "old"),
            description=f"plan {found.hash}",
            metadata={"plan": MetadataValue.md("\n".join([*(stays if open_steps(steps) else []), shown])), **where},
        )
    )
