"""The op that goes forward."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dagster import AssetMaterialization, MetadataValue, OpDefinition

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.console import quietly
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.orchestration.summary import summary
from aicfg_pipeline.orchestration.terminal import show
from aicfg_pipeline.rollback.steps import migrate
from aicfg_pipeline.runbook.by_hand import Way, manual_steps
from aicfg_pipeline.services.settings import ServicesSettings
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
    """Go forward. No service is told of it, so every step outside the database is a person's."""
    rows = migrate.migrate(step.run)
    for old, count in rows.items():
        pair, seen = step.migration.pair(old), {"dagster/row_count": count}
        step.context.log_event(AssetMaterialization(asset_key=asset_key(pair, "new"), metadata=seen))
        if pair.view_ddl:
            step.context.log_event(AssetMaterialization(asset_key=asset_key(pair, "view"), metadata=seen))
    steps = manual_steps(ServicesSettings(), step.migration, Way.FORTH, swapped=datetime.now(UTC)) if rows else ()
    told = summary(step.run, step.commands, job=step.job, steps=steps)
    quietly(step.context.log, logging.INFO, told.outcome)
    show(told.on_terminal(step.target.told))
    return {**rows, "summary": MetadataValue.md(told.markdown)}
