"""How a run that writes ends: the ledger's last word, the report, and the summary for a person."""

import logging
from typing import Any

from dagster import MetadataValue

from aicfg_pipeline.orchestration.console import quietly
from aicfg_pipeline.orchestration.links import report_address
from aicfg_pipeline.orchestration.ops.by_hand import WAYS
from aicfg_pipeline.orchestration.ops.step import Step
from aicfg_pipeline.orchestration.reports import recorded_checks, write_report
from aicfg_pipeline.orchestration.summary import RESTORED, summary, swapped_at
from aicfg_pipeline.orchestration.terminal import show
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.state import Look
from aicfg_pipeline.runbook.by_hand import ManualStep, Way, manual_steps


def finish(step: Step, checks: list[Check] | None) -> dict[str, Any]:
    """Write that the run is done and its report, and tell the person what there is now. Returns metadata.

    `checks` None takes those that the run's own verification recorded.
    """
    run, job = step.run, step.job
    lifecycle.finish(run, {"states": dict(run.look().summary)})
    steps = _left(step, run.look())
    seen = recorded_checks(run) if checks is None else checks
    html, links = write_report(run, job, step.commands, seen, instance=step.context.instance, by_hand=steps)
    told = summary(run, step.commands, job=job, steps=steps, checks=seen, report=html, opens=report_address(html))
    quietly(step.context.log, logging.INFO, told.outcome)
    show(told.on_terminal(step.target.told))
    return {"summary": MetadataValue.md(told.markdown), **links}


def _left(step: Step, look: Look) -> tuple[ManualStep, ...]:
    """Return the steps that are a person's now: those of the names that are in use, where no service does them."""
    way = WAYS.get(step.job)
    restored = any(s.state in RESTORED for s in look.pairs)
    if way is None or restored != (way is Way.BACK):
        return ()
    return manual_steps(step.services.settings(), step.migration, way, swapped=swapped_at(look))
