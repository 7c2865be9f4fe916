"""Which services are ready, which can't be used, and what is left to a person."""

import logging
from dataclasses import asdict, dataclass
from typing import Any

from dagster import AssetObservation, MetadataValue

from aicfg_pipeline.orchestration.assets import service_key
from aicfg_pipeline.orchestration.console import quietly
from aicfg_pipeline.orchestration.ops.step import Step
from aicfg_pipeline.orchestration.steps_told import markdown_of, yours
from aicfg_pipeline.orchestration.terminal import show
from aicfg_pipeline.runbook.by_hand import ManualStep, Way, manual_steps
from aicfg_pipeline.runbook.ready import check_services, refuse

WAYS = {"rollback": Way.BACK, "plan": Way.BACK, "undo_rollback": Way.FORTH}
"""Which names the code needs after a job that also does something outside the database."""


@dataclass(frozen=True)
class ServicesFound:
    """What is ready, what can't be used, and which steps are a person's."""

    ready: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    steps: tuple[ManualStep, ...] = ()


def left_to_a_person(step: Step) -> tuple[ManualStep, ...]:
    """Return the steps that no service is configured for; none for a job that has no part outside the database."""
    way = WAYS.get(step.job)
    return manual_steps(step.services.settings(), step.migration, way) if way else ()


def try_services(step: Step) -> ServicesFound:
    """Try what is configured without changing it, and put what was found on the page of the services."""
    ready, wrong = check_services(step.services.settings())
    found = ServicesFound(tuple(ready), tuple(wrong), left_to_a_person(step))
    shown = "\n".join(
        [
            "## Services",
            "",
            *(f"- ready: {line}" for line in ready),
            *(f"- **can't be used**: {line}" for line in wrong),
            *(markdown_of(s) for s in found.steps),
        ]
    )  # fmt: skip
    step.context.log_event(
        AssetObservation(
            asset_key=service_key("lambdas", step.migration.instance),
            description="plan",
            metadata={"plan": MetadataValue.md(shown)},
        )
    )
    for line in ready:
        step.context.log.info(f"ready: {line}")
    if found.steps:
        names = ", ".join(s.service for s in found.steps)
        quietly(step.context.log, logging.WARNING, f"not configured, so left to be done by hand: {names}")
    return found


def plan_services(step: Step) -> None:
    """Show what is left to a person, and refuse what is configured and can't be used.

    Raises `ServiceError` with every complaint at once, before anything is touched.
    """
    found = try_services(step)
    show(yours(found.steps, done=False))
    refuse(found.wrong)


def services_by_hand(step: Step) -> list[dict[str, Any]]:
    """Return what is left to a person, for the run's evidence."""
    return [asdict(s) for s in left_to_a_person(step)]
