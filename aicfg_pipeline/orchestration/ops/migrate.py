"""The op that goes forward."""

from collections.abc import Iterator

from dagster import AssetMaterialization, OpDefinition, OpExecutionContext, Out, Output, op

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.config import ConfirmConfig
from aicfg_pipeline.orchestration.metadata import failures, metadata
from aicfg_pipeline.orchestration.ops.step import open_run
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps import migrate as migrate_step
from aicfg_pipeline.spec.model import Migration


def migrate_op(migration: Migration) -> OpDefinition:
    """Return the op that goes forward."""

    @op(
        name="migrate",
        out=Out(dict),
        description="Forward: makes the new tables, moves the rows, drops the old tables, makes the views. Locks the old"
        " tables while their rows are copied.",
        tags={"kind": "postgres"},
    )
    def migrate_(
        context: OpExecutionContext, config: ConfirmConfig, postgres: PostgresResource
    ) -> Iterator[Output[dict]]:
        with failures():
            run = open_run(context, postgres, migration, config.settings())
            lifecycle.confirm(run, must_confirm=not postgres.target().embedded)
            rows = migrate_step.migrate(run)
        for old, count in rows.items():
            pair, seen = migration.pair(old), {"dagster/row_count": count}
            context.log_event(AssetMaterialization(asset_key=asset_key(pair, "new"), metadata=seen))
            context.log_event(AssetMaterialization(asset_key=asset_key(pair, "view"), metadata=seen))
        yield Output(rows, metadata=metadata(rows))

    return migrate_
