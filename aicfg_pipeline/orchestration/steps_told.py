"""How the steps that are left to a person are told: in the plan, in the summary, on a page of the UI."""

from __future__ import annotations

from collections.abc import Sequence

from aicfg_pipeline.orchestration.terminal import labelled, wrapped
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.runbook.by_hand import ManualStep, open_steps


def are_yours(steps: Sequence[ManualStep]) -> str:
    """Return `4 steps are yours now`, or nothing where all is looked after."""
    count = len(open_steps(steps))
    return f"{counted(count, 'step')} {'is' if count == 1 else 'are'} yours now" if count else ""


def named(steps: Sequence[ManualStep]) -> str:
    """Return the open steps in a few words: `code and schema files (runbook 3), deploy (5)`."""
    return ", ".join(f"{s.short} ({s.runbook_step})" for s in open_steps(steps))


def yours(steps: Sequence[ManualStep], *, done: bool) -> list[str]:
    """Return the lines for a person: before a job what stays his, after it what to do now, with the commands."""
    wanted = open_steps(steps)
    if not wanted:
        return []
    if not done:
        told = f"{counted(len(wanted), 'step')} of the runbook, as no service is configured: {named(steps)}"
        return labelled("Yours", told)
    lines = ["Yours now, in this order. Until then the application may be down."]
    for number, step in enumerate(wanted, 1):
        lines += wrapped(f"{step.title} (runbook {step.runbook_step})", "     ", first=f"  {number}. ")
        lines += [f"       {line}" for line in step.command.splitlines()]
    return lines


def markdown_of(step: ManualStep) -> str:
    """Return a step for a page of the UI."""
    told = f"- not configured: {step.service} (runbook step {step.runbook_step}): do it by hand. {step.title}"
    return f"{told}\n\n```\n{step.command}\n```"
