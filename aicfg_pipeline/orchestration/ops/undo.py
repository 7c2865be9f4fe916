"""Ops that take a rollback back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dagster import AssetMaterialization, AssetObservation, OpDefinition

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.metadata import metadata
from aicfg_pipeline.orchestration.ops.by_hand import plan_services, services_by_hand
from aicfg_pipeline.orchestration.ops.end import finish
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.services import stop_services
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.orchestration.ops.verify import log_service_checks
from aicfg_pipeline.orchestration.world import advice_is_void, in_use
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.state import UNDOABLE
from aicfg_pipeline.rollback.steps import undo, verify
from aicfg_pipeline.spec.model import Migration


def undo_op(migration: Migration) -> OpDefinition:
    """Return the op that takes a rollback back."""
    return step_op(
        migration,
        "undo_rollback",
        _undo,
        "Takes a rollback back while the new tables are parked: replays what was written since, compares in"
        " one snapshot, and swaps back in one short transaction. Undoing the undo is another rollback.",
        opens=Opens.BEGINS,
    )


def end_of_undo_op(migration: Migration) -> OpDefinition:
    """Return the op that ends an undo."""
    return step_op(
        migration, "end_of_undo", _end_of_undo, "Runs every check once more and tells what there is now."
    )  # fmt: skip


def _undo(step: Step) -> Mapping[str, Any]:
    run = step.run
    lifecycle.must_have_begun(run, "undo")
    plan_services(step)
    lifecycle.begin(
        run,
        step.job,
        {**step.origin, "by_hand": services_by_hand(step), "states": dict(run.look().summary)},
    )
    stop_services(step, *UNDOABLE)
    facts = undo.undo_rollback(run)
    seen = metadata({k: v for k, v in facts.items() if k != "pairs"})
    log = step.context.log_event
    for event in advice_is_void(f"{datetime.now(UTC).isoformat()}", step.migration.instance):
        step.context.log_event(event)
    for old in facts["pairs"]:
        pair = step.migration.pair(old)
        here = seen | metadata(in_use(step.migration, pair.new))
        log(AssetMaterialization(asset_key=asset_key(pair, "new"), description="undone", metadata=here))
        log(AssetObservation(asset_key=asset_key(pair, "old"), description="undone", metadata=seen))
        there = run.look()[old].at_old_name
        described = "undone: a view again" if there and there.is_view else "undone: there is no view"
        log(AssetObservation(asset_key=asset_key(pair, "view"), description=described))
    return facts


def _end_of_undo(step: Step) -> dict[str, Any]:
    checks = verify.run_checks(step.run.session, step.migration)
    return finish(step, checks + log_service_checks(step))
