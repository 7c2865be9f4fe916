"""Ops that take a rollback back."""

from collections.abc import Iterator
from dataclasses import asdict

from dagster import AssetMaterialization, AssetObservation, In, OpDefinition, OpExecutionContext, Out, Output, op

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.config import ConfirmConfig
from aicfg_pipeline.orchestration.metadata import failures, metadata
from aicfg_pipeline.orchestration.ops.drop import finish
from aicfg_pipeline.orchestration.ops.services import plan_services, services_by_hand, services_guarded, stop_for_undo
from aicfg_pipeline.orchestration.ops.step import open_and_link, open_run
from aicfg_pipeline.orchestration.ops.verify import log_service_checks
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps import undo, verify
from aicfg_pipeline.spec.model import Migration


def undo_op(migration: Migration) -> OpDefinition:
    """Return the op that takes a rollback back."""

    @op(
        name="undo_rollback",
        out=Out(dict),
        description="Takes a rollback back while the new tables are parked: replays what was written since, compares in"
        " one snapshot, and swaps back in one short transaction. Undoing the undo is another rollback.",
        tags={"kind": "postgres"},
    )
    def undo_(
        context: OpExecutionContext, config: ConfirmConfig, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures():
            run = open_run(context, postgres, migration, config.settings())
            lifecycle.confirm(run, must_confirm=not postgres.target().embedded)
            lifecycle.must_have_begun(run, "undo")
        with failures(), services_guarded(context, migration, postgres, services):
            plan_services(context, migration, services)
            lifecycle.begin(run, context.job_name, {"by_hand": services_by_hand(migration, services)})
            stop_for_undo(run, services)
            facts = undo.undo_rollback(run)
        for old in facts["pairs"]:
            pair, seen = migration.pair(old), metadata({k: v for k, v in facts.items() if k != "pairs"})
            context.log_event(
                AssetMaterialization(asset_key=asset_key(pair, "new"), description="undone", metadata=seen)
            )
            context.log_event(AssetObservation(asset_key=asset_key(pair, "old"), description="undone", metadata=seen))
            context.log_event(AssetObservation(asset_key=asset_key(pair, "view"), description="undone: a view again"))
        yield Output({"settings": asdict(config.settings()), "plan_hash": None}, metadata=metadata(facts))

    return undo_


def end_of_undo_op(migration: Migration) -> OpDefinition:
    """Return the op that ends an undo."""

    @op(
        name="end_of_undo",
        ins={"before": In(dict)},
        out=Out(dict),
        description="Runs every check once more and tells what there is now.",
        tags={"kind": "postgres"},
    )
    def end_of_undo_(
        context: OpExecutionContext, before: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_and_link(context, postgres, migration, before)
            checks = verify.run_checks(run.session, migration)
            told = finish(context, run, checks + log_service_checks(context, run, services))
        yield Output(before, metadata=told)

    return end_of_undo_
