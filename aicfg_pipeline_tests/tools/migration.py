"""Drives the engine without Dagster: migrate and rollback on a database given by its URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.lock import release_run_lock, take_run_lock
from aicfg_pipeline.rollback.run import Run, Settings
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.drop import drop_new_tables
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.rollback.steps.prepare import must_be_possible, prepare
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration
from aicfg_pipeline.store.folder import Folder


@contextmanager
def running(
    url: str,
    *,
    run_id: str = "test-run",
    say: Any = lambda line: None,
    migration: Migration | None = None,
    **settings: Any,
) -> Iterator[Run]:
    """A run on `url` that holds the run lock; of the migration that the environment names, if not of another."""
    session = connect(url, f"aicfg_pipeline {run_id}")
    try:
        take_run_lock(session)
        yield Run(session, migration or spec.load(), run_id, settings=Settings(**settings), say=say)
    finally:
        release_run_lock(session)
        session.close()


def migrate_forward(url: str) -> None:
    """Bring a database into the migrated state."""
    with running(url, run_id="forward") as run:
        migrate(run)


def prepared(run: Run) -> None:
    """What the job prepare does, as its ops call it."""
    must_be_possible(run)
    lifecycle.begin(run, "prepare")
    for pair in run.migration.pairs:
        copy_back(run, pair.old)
    compare(run, anew=True)
    prepare(run)


def roll_back(run: Run) -> None:
    """Every step of a rollback up to and with the gate after it, as the job's ops call them."""
    lifecycle.begin(run, "rollback")
    for pair in run.migration.pairs:
        copy_back(run, pair.old)
    compare(run)
    cut_over(run)
    verify.gate(verify.run_checks(run.session, run.migration), remedy="")


def drop_parked(run: Run, folder: Path) -> None:
    """Drop what is parked, whatever the retention says."""
    checks = verify.run_checks(run.session, run.migration)
    drop_new_tables(run, Folder(folder), checks, before_retention_ends=True)
