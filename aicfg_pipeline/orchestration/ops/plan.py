"""The ops that look, find hazards and say what would run."""

from typing import Any

from dagster import OpDefinition

from aicfg_pipeline.orchestration.ops.by_hand import services_by_hand
from aicfg_pipeline.orchestration.ops.dry_run import show_plan
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.orchestration.rehearsed import rehearsed
from aicfg_pipeline.orchestration.summary import summary
from aicfg_pipeline.orchestration.terminal import show
from aicfg_pipeline.rollback import ledger, lifecycle
from aicfg_pipeline.rollback.run import Settings
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.spec.model import Migration


def plan_op(migration: Migration) -> OpDefinition:
    """Return the op that plans a rollback, and begins it."""
    return step_op(
        migration,
        "plan",
        _plan_and_begin,
        "Looks at every pair, finds hazards, and says what would run, in order. Locks nothing, changes nothing. A hazard"
        " that blocks stops the run here; a dry run ends here.",
        opens=Opens.PLANS,
    )


def plan_only_op(migration: Migration) -> OpDefinition:
    """Return the op that plans a rollback, and no more."""
    return step_op(
        migration,
        "plan_only",
        _plan_only,
        "Looks at every pair, finds hazards, and says what the job rollback would run, in order. Reads only.",
        opens=Opens.LOOKS,
    )


def _plan_only(step: Step) -> dict[str, Any]:
    show_plan(step, "rollback")
    return {}


def _plan_and_begin(step: Step) -> dict[str, Any] | None:
    run = step.run
    found = show_plan(step, "rollback")
    if found.nothing_to_do and not ledger.knows(run.session, run.migration):
        told = summary(run, step.commands, job="rollback")
        step.context.log.info(told.outcome)
        show(told.on_terminal(step.target.told))
        return None  # not even the ledger is made where there is nothing to do
    run.plan_hash = run.plan_hash or found.hash  # what was approved keeps its name when it goes on
    tried = {"rehearsed": rehearsed(found).facts} if found.statements else {}
    lifecycle.begin(
        run, "rollback", {**_facts(found, run.settings), **step.origin, **tried, "by_hand": services_by_hand(step)}
    )
    return {"plan_hash": found.hash}


def _facts(found: plan.Plan, settings: Settings) -> dict[str, Any]:
    return {
        "database": {k: v for k, v in found.database.items() if k != "pid"},
        "states": dict(found.look.summary),
        "hazards": [
            {"code": h.code, "pair": h.pair, "found": h.found, "accepted": h.code in settings.accept_hazards}
            for h in found.hazards
        ],
        "plan_hash": found.hash,
        "statements_planned": len(found.statements),
    }
