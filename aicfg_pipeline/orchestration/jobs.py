"""Jobs: which ops follow each other. All run in one process: every step is a query, and the run lock is one session's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dagster import JobDefinition, MetadataValue, OpDefinition, graph, in_process_executor, job

from aicfg_pipeline.orchestration.config import CONSOLE, flat_run_config, told_use
from aicfg_pipeline.orchestration.console import console
from aicfg_pipeline.orchestration.failure_reports import failure_report
from aicfg_pipeline.orchestration.home import CHANGES_TAG, MIGRATION_TAG, TARGET_TAG, named_target, tagged
from aicfg_pipeline.orchestration.ops.build import build_ops
from aicfg_pipeline.orchestration.ops.rollback import copy_back_name
from aicfg_pipeline.orchestration.ops.verify import DROP_NOW
from aicfg_pipeline.orchestration.plan_told import UNDO, WAITS
from aicfg_pipeline.spec.model import Migration

NOTHING, NAMES, DROPS = "nothing", "names, can be undone", "DROPS TABLES, no undo"


@dataclass(frozen=True)
class Told:
    """What a person reads of a job before launching it: what it changes, first of all."""

    changes: str
    description: str


JOBS = {
    "plan": Told(NOTHING, "Changes nothing. Looks and reports: states, hazards, statements in order, what stays yours."),
    "rollback": Told(
        NAMES,
        "Changes which tables have the old names; every row stays, and it can be undone while the new tables are parked"
        " (retain_days: 0 drops them at once). Copy, compare, swap in one short transaction, verify. Can be launched from any"
        " state.",
    ),
    "rehearse": Told(
        NOTHING,
        "Changes nothing on the target, which it only reads. Goes through the whole story on a copy (rollback, verify, undo,"
        " rollback, drop), timed, and reports what production can expect. No service is touched.",
    ),
    "prepare": Told(
        NOTHING,
        "Changes nothing for anyone. Does all of a rollback but the switch: copies, compares, and keeps the copies up to"
        " date, so that the job rollback has only to catch up and to swap, when you say. No service is touched.",
    ),
    "verify": Told(NOTHING, "Changes nothing. Runs every asset check; fails if one fails."),
    "undo_rollback": Told(
        NAMES,
        "Changes which tables have the new names: takes a rollback back while the new tables are parked, and code and"
        " deploy with it. Keeps every write.",
    ),
    "drop_new_tables": Told(DROPS, "DROPS the parked new tables after exporting them: no undo any more. Refuses before the"
        " retention ends."),
    "abandon": Told(
        NOTHING,
        "Changes nothing for anyone: gives a rollback up that has not cut over, so shadows, logs and triggers go.",
    ),
    "migrate": Told(NAMES, "Changes which tables have the new names: old tables become new tables, with a view where the"
        " migration has one. Forward again."),
}  # fmt: skip


def build_jobs(migration: Migration) -> list[JobDefinition]:
    """Return every job of the pipeline."""
    ops = build_ops(migration)
    return [
        _rollback(migration, ops),
        _prepare(migration, ops),
        _single(migration, "plan", ops["plan_only"]),
        _single(migration, "rehearse", ops["rehearse"]),
        _single(migration, "verify", ops["verify_only"]),
        _single(migration, "drop_new_tables", ops["drop_new_tables"]),
        _undo(migration, ops),
        _single(migration, "abandon", ops["abandon"]),
        _single(migration, "migrate", ops["migrate"]),
    ]


LOOKS_AT_MOST_SECONDS = 4 * 3600
"""Dagster's run monitoring ends a run that only reads after that: one whose process was killed never ends by itself."""


def _told(migration: Migration, name: str) -> dict[str, Any]:
    """Return what every job has: how it runs, what it takes, and what a person reads of it.

    The tags show above the launchpad and in the list of runs, the metadata beside the job.
    """
    target, instance = named_target(migration.instance.url_variable), migration.instance
    limit = {"dagster/max_runtime": str(LOOKS_AT_MOST_SECONDS)} if name in ("plan", "verify") else {}
    shown = {
        TARGET_TAG: target,
        CHANGES_TAG: JOBS[name].changes,
        MIGRATION_TAG: tagged(migration),
    }
    waits = {"who waits": WAITS[name], "undo": UNDO[name].format(days="retain_days")} if name in WAITS else {}
    return {
        "executor_def": in_process_executor,
        "logger_defs": {CONSOLE: console()},
        "config": flat_run_config(name, instance),
        "description": f"{JOBS[name].description} {told_use(name)}",
        "tags": {**shown, **limit},
        "metadata": {k: MetadataValue.text(v) for k, v in {"target": target, **waits}.items()},
    }


def _rollback(migration: Migration, ops: dict[str, OpDefinition]) -> JobDefinition:
    @job(name=migration.instance.named("rollback"), hooks={failure_report(migration)}, **_told(migration, "rollback"))
    def rollback() -> None:
        stopped = ops["stop_services"](ops["plan"]())
        copied = [ops[copy_back_name(pair)](stopped) for pair in migration.pairs]
        cut = ops["cut_over"](ops["compare"](copied))
        started = ops["start_services"](ops["redeploy"](ops["revert_code"](cut)))
        verified = ops["verify"](started)
        dropped = ops["drop_at_the_end"].alias("drop_new_tables")(getattr(verified, DROP_NOW))
        ops["report"]([verified.result, dropped])

    return rollback


def _prepare(migration: Migration, ops: dict[str, OpDefinition]) -> JobDefinition:
    @graph(name=migration.instance.named("prepare_steps"))
    def prepare_steps() -> None:
        begun = ops["plan_prepare"].alias("plan")()
        copied = [ops[copy_back_name(pair)](begun) for pair in migration.pairs]
        ops["prepared"](ops["compare_anew"].alias("compare")(copied))

    return prepare_steps.to_job(
        name=migration.instance.named("prepare"), hooks={failure_report(migration)}, **_told(migration, "prepare")
    )


def _undo(migration: Migration, ops: dict[str, OpDefinition]) -> JobDefinition:
    @graph(name=migration.instance.named("undo_steps"))
    def undo_steps() -> None:
        code = ops["undo_code"](ops["undo_rollback"]())
        started = ops["start_services"](ops["redeploy_new_names"].alias("redeploy")(code))
        ops["end_of_undo"](started)

    return undo_steps.to_job(
        name=migration.instance.named("undo_rollback"),
        hooks={failure_report(migration)},
        **_told(migration, "undo_rollback"),
    )


def _single(migration: Migration, name: str, op: OpDefinition) -> JobDefinition:
    @graph(
        name=migration.instance.named(f"only_{name}")
    )  # a graph and an op of one repository can't share a name; a job and an op can
    def single() -> None:
        op.alias(name)()

    return single.to_job(
        name=migration.instance.named(name), hooks={failure_report(migration)}, **_told(migration, name)
    )
