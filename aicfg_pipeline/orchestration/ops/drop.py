"""Ops that let the parked tables go, and the one that ends a rollback."""

from collections.abc import Iterator
from typing import Any

from dagster import AssetObservation, In, MetadataValue, OpDefinition, OpExecutionContext, Out, Output, op

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.config import DropConfig
from aicfg_pipeline.orchestration.home import export_folder
from aicfg_pipeline.orchestration.metadata import failures, metadata
from aicfg_pipeline.orchestration.ops.services import services_guarded
from aicfg_pipeline.orchestration.ops.step import link, open_run
from aicfg_pipeline.orchestration.ops.verify import run_and_log_checks
from aicfg_pipeline.orchestration.reports import recorded_checks, write_report
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.orchestration.summary import summary
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.steps import drop, verify
from aicfg_pipeline.spec.model import Migration


def drop_op(migration: Migration) -> OpDefinition:
    """Return the op that drops what is parked."""

    @op(
        name="drop_new_tables",
        out=Out(dict),
        description="Exports the parked tables, compares once more under lock, and drops them with logs and triggers."
        " The ledger stays. Refuses before the retention ends, unless told, and while a check fails.",
        tags={"kind": "postgres"},
    )
    def drop_(context: OpExecutionContext, config: DropConfig, postgres: PostgresResource) -> Iterator[Output[dict]]:
        with failures():
            run = open_run(context, postgres, migration, config.settings())
            lifecycle.confirm(run, must_confirm=not postgres.target().embedded)
            lifecycle.must_have_begun(run, "drop")
            lifecycle.begin(run, context.job_name)
            facts = _dropped(context, run, before_retention_ends=config.before_retention_ends)
            told = finish(context, run, verify.run_checks(run.session, migration))
        yield Output(facts, metadata={**told, **metadata(facts)})

    return drop_


def end_op(migration: Migration) -> OpDefinition:
    """Return the op that ends a rollback."""

    @op(
        name="drop_at_the_end",
        ins={"verified": In(dict)},
        out=Out(dict),
        description="With retain_days: 0 exports and drops the parked tables; else says until when they are kept, and"
        " how to drop or undo.",
        tags={"kind": "postgres"},
    )
    def end_(
        context: OpExecutionContext, verified: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_run(context, postgres, migration, verified)
            facts = _drop_at_end(context, run)
            checks = run_and_log_checks(context, run) if facts["dropped"] else None
            if checks is not None:
                checks += [c for c in recorded_checks(run) if c.asset == "service"]
            told = finish(context, run, checks)
        yield Output(verified, metadata={**told, **metadata(facts)})

    return end_


def finish(context: OpExecutionContext, run: Run, checks: list[Check] | None) -> dict[str, Any]:
    """Write that the run is done and its report, and tell the person what there is now. Returns metadata."""
    lifecycle.finish(run, {"states": dict(run.look().summary)})
    html, links = write_report(run, context.job_name, checks)
    told = summary(run, run.run_id, report=html)
    print(told, flush=True)
    return {"summary": MetadataValue.md(f"```\n{told}\n```"), **links}


def _drop_at_end(context: OpExecutionContext, run: Run) -> dict[str, Any]:
    """The last op of a rollback: drop now, or say until when the new tables are parked."""
    link(run, context)
    parked = run.look().in_state(State.CUT_OVER)
    if parked and run.settings.retain_days > 0:
        for state in parked:
            until = drop.retained_until(run.look().ledger, state.pair.old)
            context.log.info(f"{state.pair.new}: parked until {until:%Y-%m-%d %H:%M} UTC" if until else "parked")
        return {"dropped": False}
    return _dropped(context, run, before_retention_ends=True)


def _dropped(context: OpExecutionContext, run: Run, *, before_retention_ends: bool) -> dict[str, Any]:
    checks = verify.run_checks(run.session, run.migration)
    facts = drop.drop_new_tables(run, export_folder(), checks, before_retention_ends=before_retention_ends)
    for old, found in facts.items():
        pair = run.migration.pair(old)
        context.log_event(
            AssetObservation(
                asset_key=asset_key(pair, "new"), description="exported and dropped", metadata=metadata(found)
            )
        )
    return {"dropped": bool(facts), **facts}
