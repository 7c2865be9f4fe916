"""Ops that prepare a rollback: everything but the switch. Copying and comparing are the rollback's own."""

from typing import Any

from dagster import AssetObservation, OpDefinition

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.metadata import metadata
from aicfg_pipeline.orchestration.ops.dry_run import show_plan
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.orchestration.terminal import bold, show, wrapped
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps import prepare
from aicfg_pipeline.spec.model import Migration


def plan_prepare_op(migration: Migration) -> OpDefinition:
    """Return the op that plans a preparation, and begins it."""
    return step_op(
        migration,
        "plan_prepare",
        _plan_and_begin,
        "Looks at every pair with the eyes of a rollback: what would block the switch blocks here. A dry run ends here.",
        opens=Opens.PLANS,
    )


def prepared_op(migration: Migration) -> OpDefinition:
    """Return the op that ends a preparation."""
    return step_op(
        migration,
        "prepared",
        _end,
        "Writes down that the shadows are proven and follow the live tables. They wait for the job rollback to switch, or"
        " for abandon to take them away.",
    )


def _plan_and_begin(step: Step) -> dict[str, Any]:
    run = step.run
    prepare.must_be_possible(run)
    found = show_plan(step, "prepare")
    run.plan_hash = found.hash
    lifecycle.begin(run, "prepare", {**step.origin, "plan_hash": found.hash, "states": dict(found.look.summary)})
    return {"plan_hash": found.hash}


def _end(step: Step) -> dict[str, Any]:
    run, log = step.run, step.context.log_event
    ready = prepare.prepare(run)
    for old, found in ready.items():
        facts = {
            "behind": found.behind,
            "proven_at": f"{found.proven_at:%Y-%m-%d %H:%M} UTC" if found.proven_at else None,
        }
        key = asset_key(step.migration.pair(old), "old")
        log(AssetObservation(asset_key=key, description=f"prepared: {found}", metadata=metadata(facts)))
    lifecycle.finish(run, {"states": dict(run.look().summary), "prepared": list(ready)})
    lines = [f"{old}: {found}" for old, found in ready.items()]
    show([*(w for line in lines for w in wrapped(line)), *_outlook(step)])
    return {"prepared": list(ready)}


def _outlook(step: Step) -> list[str]:
    return [
        bold("Prepared. Nothing has changed for anyone; the shadows follow every write.", "good"),
        f"  switch   {step.commands.job('rollback')}",
        f"  give up  {step.commands.job('abandon')}",
        f"Target: {step.target.told}",
    ]
