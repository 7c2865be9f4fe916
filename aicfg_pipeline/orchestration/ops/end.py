"""How a run that writes ends: the ledger's last word, the report, and the summary for a person."""

from typing import Any

from dagster import MetadataValue

from aicfg_pipeline.orchestration.ops.step import Step
from aicfg_pipeline.orchestration.reports import write_report
from aicfg_pipeline.orchestration.summary import summary
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.checks.check import Check


def finish(step: Step, checks: list[Check] | None) -> dict[str, Any]:
    """Write that the run is done and its report, and tell the person what there is now. Returns metadata.

    `checks` None takes those that the run's own verification recorded.
    """
    run = step.run
    lifecycle.finish(run, {"states": dict(run.look().summary)})
    html, links = write_report(run, step.context.job_name, step.commands, checks)
    told = summary(run, step.commands, step.target.told, report=html)
    print(told, flush=True)
    return {"summary": MetadataValue.md(f"```\n{told}\n```"), **links}
