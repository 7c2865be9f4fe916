"""The op that gives a rollback up before the cut-over."""

from typing import Any

from dagster import AssetObservation, OpDefinition

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps.abandon import abandon
from aicfg_pipeline.spec.model import Migration


def abandon_op(migration: Migration) -> OpDefinition:
    """Return the op that gives a rollback up."""
    return step_op(
        migration,
        "abandon",
        _abandon,
        "Takes away the shadows, change logs and triggers of a rollback that has not cut over. Nothing changes for"
        " anyone; the ledger says that it was given up. What is cut over is taken back by undo_rollback.",
        opens=Opens.BEGINS,
    )


def _abandon(step: Step) -> dict[str, Any]:
    run = step.run
    lifecycle.must_have_begun(run, "give up")
    lifecycle.begin(run, step.job, step.origin)
    given_up = abandon(run)
    lifecycle.finish(run, {"states": dict(run.look().summary), "given_up": given_up})
    for old in given_up:
        key = asset_key(step.migration.pair(old), "new")
        step.context.log_event(AssetObservation(asset_key=key, description="the rollback was given up"))
    told = f"Given up: {', '.join(given_up)}." if given_up else "There was nothing to give up."
    print(f"{told} Nothing has changed for anyone.\nTarget: {step.target.told}", flush=True)
    return {"given_up": given_up}
