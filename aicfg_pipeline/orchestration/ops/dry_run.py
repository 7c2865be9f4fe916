"""The plan of a job, shown: what a dry run of any job is, and what the job `plan` does for a rollback."""

from dagster import AssetObservation, MetadataValue

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.metadata import plan_markdown
from aicfg_pipeline.orchestration.ops.by_hand import plan_services
from aicfg_pipeline.orchestration.ops.step import Step
from aicfg_pipeline.rollback.steps import plan

WITH_SERVICES = ("rollback", "undo_rollback")
"""Jobs that also do something outside the database."""


def show_plan(step: Step, job: str) -> None:
    """Show the plan of a job and let its gate judge, and end there. Raises `HazardError`, `ServiceError`."""
    planned(step, job)
    if job in WITH_SERVICES:
        plan_services(step)


def planned(step: Step, job: str) -> plan.Plan:
    """Make the plan of a job, show it, and let its gate judge. Raises `HazardError` naming every hazard that blocks."""
    context, accepted = step.context, step.run.settings.accept_hazards
    found = plan.make_plan(step.run, must_confirm=step.must_confirm, job=job)  # type: ignore[arg-type]
    shown = plan_markdown(found, accepted, target=step.target.told, commands=step.commands, request=step.request)
    print(shown, flush=True)
    blocking = found.blocking(accepted)
    context.log_event(
        AssetObservation(
            asset_key=asset_key(found.look.pairs[0].pair, "old"),
            description=f"plan {found.hash}",
            metadata={"plan": MetadataValue.md(shown)},
        )
    )
    for state in found.look.pairs:
        context.log.info(f"{state.pair.old}: {state.state} ({state.because})")
    for hazard in found.hazards:
        (context.log.error if hazard in blocking else context.log.warning)(str(hazard))
    plan.gate(found, accepted)
    todo = f"{len(found.statements)} statements" if found.statements else "nothing to do"
    context.log.info(f"plan {found.hash} of {job}: {todo}, {len(found.hazards)} hazards, none blocks")
    return found
