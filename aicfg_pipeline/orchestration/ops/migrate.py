"""The op that goes forward."""

from collections.abc import Mapping
from typing import Any

from dagster import AssetMaterialization, OpDefinition

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.rollback.steps import migrate
from aicfg_pipeline.spec.model import Migration


def migrate_op(migration: Migration) -> OpDefinition:
    """Return the op that goes forward."""
    return step_op(
        migration,
        "migrate",
        _migrate,
        "Forward: makes the new tables, moves the rows, drops the old tables, makes the views. Locks the old"
        " tables while their rows are copied.",
        opens=Opens.BEGINS,
    )


def _migrate(step: Step) -> Mapping[str, Any]:
    rows = migrate.migrate(step.run)
    for old, count in rows.items():
        pair, seen = step.migration.pair(old), {"dagster/row_count": count}
        step.context.log_event(AssetMaterialization(asset_key=asset_key(pair, "new"), metadata=seen))
        step.context.log_event(AssetMaterialization(asset_key=asset_key(pair, "view"), metadata=seen))
    told = ", ".join(f"{step.migration.pair(old).new} {count:,} rows" for old, count in rows.items())
    print(f"Migrated: {told or 'nothing was left to do'}.\nTarget: {step.target.told}", flush=True)
    return rows
