"""Approving exactly this: a run that names an approved plan does that plan, or nothing.

What a plan's hash stands for is `rollback.steps.plan`'s; how a plan is kept and compared is `orchestration.approval`'s.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from aicfg_pipeline import environment
from aicfg_pipeline.errors import ApprovalError, PipelineError
from aicfg_pipeline.orchestration.approval import difference, is_hash
from aicfg_pipeline.orchestration.ops.step import Step
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps.plan import hash_of, stands_for

NEED_APPROVAL = ("rollback", "undo_rollback", "migrate", "drop_new_tables")
"""The jobs that change names or let tables go. The others change nothing for anyone."""

WITH_SERVICES = ("rollback", "undo_rollback")
"""Jobs that also do something outside the database."""


def must_be_approved(step: Step, job: str) -> None:
    """Refuse a job that is not the approved plan; nothing was touched then. Raises `ApprovalError`.

    A run that was killed goes on under the approval that it began with.
    """
    approved, required = step.request.approved_plan.strip(), environment.REQUIRE_APPROVAL.is_on()
    if job not in NEED_APPROVAL or not (approved or required):
        return
    see = f"See the plan: {step.commands.dg(job, dry_run=True)}"
    if not is_hash(approved):
        because = f"{environment.REQUIRE_APPROVAL.name} asks for one" if required else "that is no hash of a plan"
        raise ApprovalError(
            f"approved_plan is {approved or 'missing'}, and {because}. Nothing was touched.",
            expected="the hash of a plan: 16 hexadecimal digits, as the plan's first line has it",
            remedy=f"{see}\nHave it approved, and give its hash as approved_plan.",
        )
    meaning = stands_for(step.run, step.run.look(), job, also=services_meant(step, job))  # type: ignore[arg-type]
    now = hash_of(meaning)
    if approved != now and not lifecycle.goes_on(step.run.look().ledger, job, approved):
        raise ApprovalError(
            f"The approved plan is {approved}, but what would be done now is plan {now}. Nothing was touched.",
            complaints=difference(approved, meaning),
            expected="the plan to be the one that was approved: the same statements, hazards, database, files and services",
            remedy=f"{see}\nIf it is right, have it approved: approved_plan: {now}",
        )
    step.run.plan_hash = approved


def services_meant(step: Step, job: str) -> Sequence[str]:
    """Return what a job does outside the database, as settings without a secret, one line each."""
    if job not in WITH_SERVICES:
        return ()
    try:
        settings = step.services.settings().model_dump(mode="json", exclude_none=True)
    except PipelineError:
        return ("services: the settings can't be used",)  # what is wrong with them is said where they are tried
    return [f"service {name}: {json.dumps(settings[name], sort_keys=True)}" for name in sorted(settings)]
