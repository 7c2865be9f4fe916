"""What every op begins with: the run, its lock, and whose work it goes on with."""

from collections.abc import Mapping
from typing import Any

from dagster import OpExecutionContext

from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run, Settings
from aicfg_pipeline.spec.model import Migration

Passed = dict[str, Any]
"""What one op hands to the next: what the operator asked for and the plan's hash. Never the database's state."""


def open_run(
    context: OpExecutionContext, postgres: PostgresResource, migration: Migration, passed: Mapping[str, Any] | Settings
) -> Run:
    """Return the run of this op, with the run lock held. Raises `AlreadyRunningError`."""
    settings, plan_hash = passed, None
    if not isinstance(passed, Settings):
        settings = Settings(**{**passed["settings"], "accept_hazards": tuple(passed["settings"]["accept_hazards"])})
        plan_hash = passed["plan_hash"]
    assert isinstance(settings, Settings)
    session = postgres.locked_session(f"aicfg_pipeline {context.job_name} {context.run_id[:8]}")
    return Run(session, migration, context.run_id, settings=settings, plan_hash=plan_hash, say=context.log.info)


def _ancestors(context: OpExecutionContext) -> list[str | None]:
    return [context.run.parent_run_id, context.run.root_run_id]


def link(run: Run, context: OpExecutionContext) -> None:
    """Refuse a step whose run is not the one under way. Raises `AlreadyRunningError`, `StateError`."""
    lifecycle.must_be_ours(run, _ancestors(context))


def open_and_link(
    context: OpExecutionContext, postgres: PostgresResource, migration: Migration, passed: Mapping[str, Any]
) -> Run:
    """Return the run of this op, once it is known to be the one under way."""
    run = open_run(context, postgres, migration, passed)
    link(run, context)
    return run
