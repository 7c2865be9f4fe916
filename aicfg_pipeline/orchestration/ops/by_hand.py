"""Which services are ready, which can't be used, and what is left to a person."""

from dataclasses import asdict
from typing import Any

from dagster import AssetObservation, MetadataValue

from aicfg_pipeline.orchestration.assets import service_key
from aicfg_pipeline.orchestration.ops.step import Step
from aicfg_pipeline.runbook.by_hand import names_of
from aicfg_pipeline.runbook.ready import check_services, refuse
from aicfg_pipeline.services.settings import ManualStep


def plan_services(step: Step) -> None:
    """Show what is configured and what is left to a person, and refuse what is configured and can't be used.

    Raises `ServiceError` with every complaint at once, before anything is touched.
    """
    settings, context = step.services.settings(), step.context
    found, wrong = check_services(settings)
    steps = settings.manual_steps(names_of(step.migration))
    shown = "\n".join(
        [
            "## Services",
            "",
            *(f"- ready: {line}" for line in found),
            *(f"- **can't be used**: {line}" for line in wrong),
            *(_markdown(s) for s in steps),
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
    refuse(wrong)


def _markdown(step: ManualStep) -> str:
    told = f"- not configured: {step.service} (runbook step {step.runbook_step}): do it by hand. {step.title}"
    return f"{told}\n\n```\n{step.command}\n```"


def services_by_hand(step: Step) -> list[dict[str, Any]]:
    """Return what is left to a person, for the run's evidence."""
    return [asdict(s) for s in step.services.settings().manual_steps(names_of(step.migration))]
