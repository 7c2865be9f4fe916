"""The op that looks, finds hazards and says what would run."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from dagster import AssetObservation, MetadataValue, OpDefinition, OpExecutionContext, Out, Output, op

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.config import PlanConfig
from aicfg_pipeline.orchestration.metadata import failures, plan_markdown
from aicfg_pipeline.orchestration.ops.services import plan_services, services_by_hand, services_guarded
from aicfg_pipeline.orchestration.ops.step import open_run
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.orchestration.summary import summary
from aicfg_pipeline.rollback import ledger, lifecycle
from aicfg_pipeline.rollback.run import Run, Settings
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.spec.model import Migration


def plan_op(migration: Migration) -> OpDefinition:
    """Return the op that plans."""

    @op(
        name="plan",
        out=Out(dict, is_required=False, description="What was asked for; nothing where the run ends here."),
        description="Looks at every pair, finds hazards, and says what would run, in order. Locks nothing, changes"
        " nothing. A hazard that blocks stops the run here; a dry run ends here.",
        tags={"kind": "postgres"},
    )
    def plan_(
        context: OpExecutionContext, config: PlanConfig, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        alone = context.job_name == "plan"
        with failures():
            settings = config.settings()
            target = postgres.target()
            if alone or settings.dry_run:
                with postgres.session("aicfg_pipeline plan") as session:
                    run = Run(session, migration, context.run_id, settings=settings, say=context.log.info)
                    _planned(context, run, must_confirm=not target.embedded)
                plan_services(context, migration, services)
                return
            with services_guarded(context, migration, postgres, services):
                run = open_run(context, postgres, migration, settings)
                found = _planned(context, run, must_confirm=not target.embedded)
                if found.nothing_to_do and not ledger.exists(run.session):
                    print(summary(run, run.run_id), flush=True)
                    return  # not even the ledger is made where there is nothing to do
                run.plan_hash = found.hash
                plan_services(context, migration, services)
                by_hand = services_by_hand(migration, services)
                lifecycle.begin(run, context.job_name, {**_plan_facts(found, settings), "by_hand": by_hand})
        yield Output({"settings": asdict(settings), "plan_hash": found.hash})

    return plan_


def _planned(context: OpExecutionContext, run: Run, *, must_confirm: bool) -> plan.Plan:
    found = plan.make_plan(run, must_confirm=must_confirm)
    shown = plan_markdown(found, run.settings.accept_hazards)
    print(shown, flush=True)
    blocking = found.blocking(run.settings.accept_hazards)
    context.log_event(
        AssetObservation(
            asset_key=asset_key(found.look.pairs[0].pair, "old"),
            description=f"plan {found.hash}",
            metadata={"plan": MetadataValue.md(shown)},
        )
    )
    for state in found.look.pairs:
        context.log.info(f"{state.pair.old}: {state.state} ({state.because})")
    for hazard in found.hazards:
        (context.log.error if hazard in blocking else context.log.warning)(str(hazard))
    plan.gate(found, run.settings.accept_hazards)
    todo = "nothing to roll back" if found.nothing_to_do else f"{len(found.statements)} statements"
    context.log.info(f"plan {found.hash}: {todo}, {len(found.hazards)} hazards, none blocks")
    return found


def _plan_facts(found: plan.Plan, settings: Settings) -> dict[str, Any]:
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
