"""The report of a run that did not end well: failed, refused or stopped by a person, whichever job it is of.

A run that was refused before anything was touched is not in the ledger; its report says why, and who asked.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dagster import DagsterInstance, HookContext, HookDefinition, OpExecutionContext, failure_hook

from aicfg_pipeline.errors import ConfigError, PipelineError
from aicfg_pipeline.evidence import Known, gather
from aicfg_pipeline.orchestration.commands import commands_for
from aicfg_pipeline.orchestration.config import Request, RequestResource
from aicfg_pipeline.orchestration.home import report_folder
from aicfg_pipeline.orchestration.keeping import write_report_file
from aicfg_pipeline.orchestration.links import run_address
from aicfg_pipeline.orchestration.reports import KINDS, write_report
from aicfg_pipeline.orchestration.resources import PostgresResource, resource
from aicfg_pipeline.orchestration.stages import stages_of
from aicfg_pipeline.orchestration.who import origin
from aicfg_pipeline.postgres.address import secrets_of
from aicfg_pipeline.rollback import ledger, lifecycle
from aicfg_pipeline.rollback.lock import application_name
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.spec.model import Migration

ONLY_LOOK = frozenset({"plan", "rehearse", "verify"})
"""Jobs that write nothing into the target, so that the ledger knows nothing of them."""


@dataclass(frozen=True)
class Ended:
    """A run that did not end well, as far as Dagster knows it."""

    job: str
    run_id: str
    tags: Mapping[str, str]
    request: Request
    instance: DagsterInstance
    postgres: PostgresResource
    migration: Migration
    error: str
    log: logging.Logger

    @classmethod
    def of_step(cls, context: OpExecutionContext, migration: Migration, error: str) -> "Ended":
        """Return it for a step that a person has stopped: Dagster's hooks are for failures only."""
        requested: RequestResource = resource(context, migration.instance, "request")
        return cls(
            *(
                migration.instance.of(context.job_name),
                context.run_id,
                context.run.tags,
                requested.asked,
                context.instance,
            ),
            *(resource(context, migration.instance, "postgres"), migration, error, context.log),
        )


def failure_report(migration: Migration) -> HookDefinition:
    """Return the hook that writes a failed run into the ledger and its evidence into a report."""

    @failure_hook(
        name="report_failure", required_resource_keys={migration.instance.named(k) for k in ("postgres", "request")}
    )
    def report_failure(context: HookContext) -> None:
        postgres: PostgresResource = resource(context, migration.instance, "postgres")
        requested: RequestResource = resource(context, migration.instance, "request")
        job = migration.instance.of(context.job_name)

        def opened() -> Run:
            session = postgres.locked_session(application_name(job, context.run_id, migration.name))
            return Run(session, migration, context.run_id, say=context.log.info)

        tags = context._step_execution_context.dagster_run.tags  # a hook is not told of the run
        error = str(context.op_exception or "the step was interrupted")
        ended = Ended(
            *(job, context.run_id, tags, requested.asked, context.instance),
            *(postgres, migration, error, context.log),
        )
        report_ended(ended, opened)

    return report_failure


def report_looked(ended: Ended) -> None:
    """Write the report of a run that has only looked: the ledger knows nothing of it. Never raises what can be mended."""
    try:
        ended.log.info(f"report of the failed run: {_unrecorded(ended)}")
    except PipelineError as problem:
        ended.log.error(f"The report of the failed run could not be written: {problem}")


def report_ended(ended: Ended, open_run: Callable[[], Run]) -> None:
    """Write a run that did not end well into its report, and where it had begun to work into the ledger, too.

    Never raises what a person can mend. `open_run` opens the run with the run lock.
    """
    if ended.job in ONLY_LOOK:
        written = report_folder().glob(f"{KINDS[ended.job]}-*-{ended.run_id[:8]}.json")
        return None if list(written) else report_looked(ended)  # a verification has written its own, with its checks
    try:
        if _recorded(ended, open_run):
            return None
    except PipelineError as problem:
        ended.log.error(f"The report of the failed run could not be written: {problem}")
        return None
    return report_looked(ended)


def _recorded(ended: Ended, open_run: Callable[[], Run]) -> bool:
    """Write both; returns whether the run is in the ledger: not where that can't be asked."""
    try:
        commands = commands_for(ended.postgres.target(), ended.migration.instance)
        run = open_run()
        if not ledger.read(run.session, run.migration).of_run(run.run_id):
            return False
    except PipelineError:
        return False
    lifecycle.failed(run, ended.error)
    html, _ = write_report(run, ended.job, commands, instance=ended.instance, error=ended.error)
    ended.log.info(f"report of the failed run: {html}")
    return True


def _unrecorded(ended: Ended) -> Path:
    """Write the report of a run that the ledger says nothing of, or can't be asked about."""
    asked = origin(ended.tags, ended.request)
    try:
        target = ended.postgres.target()
        database, secrets = {"target": target.name}, secrets_of(target.url)
    except PipelineError:
        database, secrets = {}, []
    known = Known(
        kind=KINDS[ended.job],
        run_id=ended.run_id,
        database=database,
        migration=ended.migration,
        outcome="refused" if _has_not_begun(ended) else "failed",
        who=asked["who"],
        reason=asked.get("reason"),
        settings=asked["asked"],
        ended=datetime.now(UTC),
        error=ended.error,
        secrets=secrets,
        stages=stages_of(ended.instance, ended.run_id),
        run_url=run_address(ended.run_id),
    )
    return write_report_file(gather((), known), secrets=secrets)[0]


def _has_not_begun(ended: Ended) -> bool:
    """Whether the ledger was asked, and this run is not in it; where it can't be asked nobody may say so."""
    try:
        with ended.postgres.session() as session:
            return not ledger.read(session, ended.migration).of_run(ended.run_id)
    except ConfigError:
        return True  # no database was named
    except PipelineError:
        return False
