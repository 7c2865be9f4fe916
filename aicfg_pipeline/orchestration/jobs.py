"""Jobs: which ops follow each other. All run in one process: every step is a query, and the run lock is one session's."""

from __future__ import annotations

from dagster import HookDefinition, JobDefinition, OpDefinition, graph, in_process_executor, job

from aicfg_pipeline.orchestration.config import flat_run_config, told_use
from aicfg_pipeline.orchestration.home import TARGET_TAG, named_target
from aicfg_pipeline.orchestration.ops.build import build_ops
from aicfg_pipeline.orchestration.ops.rollback import copy_back_name
from aicfg_pipeline.orchestration.reports import failure_report
from aicfg_pipeline.spec.model import Migration


def build_jobs(migration: Migration) -> list[JobDefinition]:
    """Return every job of the pipeline."""
    ops = build_ops(migration)
    return [
        _rollback(migration, ops),
        _prepare(migration, ops),
        _single(
            migration, "plan", ops["plan_only"], "Looks and reports: states, hazards, statements in order. Reads only."
        ),
        _single(migration, "verify", ops["verify_only"], "Every asset check; exit status 1 if one fails."),
        _single(
            migration,
            "drop_new_tables",
            ops["drop_new_tables"],
            "Exports and drops what a rollback left parked.",
            failure_report(migration),
        ),
        _undo(migration, ops),
        _single(
            migration,
            "abandon",
            ops["abandon"],
            "Gives a rollback up that has not cut over: shadows, logs and triggers go, nothing changes for anyone.",
            failure_report(migration),
        ),
        _single(migration, "migrate", ops["migrate"], "Forward: old tables become new tables and views."),
    ]


LOOKS_AT_MOST_SECONDS = 4 * 3600
"""Dagster's run monitoring ends a run that only reads after that: one whose process was killed never ends by itself."""


def _tags(migration: Migration, name: str) -> dict[str, str]:
    """Return what shows above the launchpad and in the list of runs: which migration, and on which database."""
    limit = {"dagster/max_runtime": str(LOOKS_AT_MOST_SECONDS)} if name in ("plan", "verify") else {}
    return {"migration": migration.name[:63], TARGET_TAG: named_target(), **limit}


def _rollback(migration: Migration, ops: dict[str, OpDefinition]) -> JobDefinition:
    @job(
        name="rollback",
        executor_def=in_process_executor,
        config=flat_run_config(),
        description="Takes the database back: copy, compare, swap in one short transaction, verify, and drop when the"
        " retention ends. Loses nothing, can be undone, proves what it did. Can be launched from any state."
        f" {told_use('rollback')}",
        tags=_tags(migration, "rollback"),
        hooks={failure_report(migration)},
    )
    def rollback() -> None:
        stopped = ops["stop_services"](ops["plan"]())
        copied = [ops[copy_back_name(pair)](stopped) for pair in migration.pairs]
        cut = ops["cut_over"](ops["compare"](copied))
        started = ops["start_services"](ops["redeploy"](ops["revert_code"](cut)))
        ops["drop_at_the_end"].alias("drop_new_tables")(ops["verify"](started))

    return rollback


def _prepare(migration: Migration, ops: dict[str, OpDefinition]) -> JobDefinition:
    @graph(name="prepare_steps")
    def prepare_steps() -> None:
        begun = ops["plan_prepare"].alias("plan")()
        copied = [ops[copy_back_name(pair)](begun) for pair in migration.pairs]
        ops["prepared"](ops["compare_anew"].alias("compare")(copied))

    return prepare_steps.to_job(
        name="prepare",
        executor_def=in_process_executor,
        config=flat_run_config(),
        description="Changes nothing for anyone. Does all of a rollback but the switch: copies, compares, and keeps the"
        " copies up to date, so that the job rollback switches within seconds, when you say. No service is touched."
        f" {told_use('prepare')}",
        tags=_tags(migration, "prepare"),
        hooks={failure_report(migration)},
    )


def _undo(migration: Migration, ops: dict[str, OpDefinition]) -> JobDefinition:
    @graph(name="undo_steps")
    def undo_steps() -> None:
        code = ops["undo_code"](ops["undo_rollback"]())
        started = ops["start_services"](ops["redeploy_new_names"].alias("redeploy")(code))
        ops["end_of_undo"](started)

    return undo_steps.to_job(
        name="undo_rollback",
        executor_def=in_process_executor,
        config=flat_run_config(),
        description="Takes a rollback back while the new tables are parked, and code and deploy with it; keeps every"
        f" write. {told_use('undo_rollback')}",
        tags=_tags(migration, "undo_rollback"),
        hooks={failure_report(migration)},
    )


def _single(
    migration: Migration, name: str, op: OpDefinition, description: str, *hooks: HookDefinition
) -> JobDefinition:
    @graph(name=f"only_{name}")  # a graph and an op of one repository can't share a name; a job and an op can
    def single() -> None:
        op.alias(name)()

    return single.to_job(
        name=name,
        executor_def=in_process_executor,
        config=flat_run_config(),
        description=f"{description} {told_use(name)}",
        tags=_tags(migration, name),
        hooks=set(hooks),
    )
