"""Drives the engine without Dagster: migrate and rollback on a database given by its URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aicfg_pipeline import spec
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.migrate import migrate
from aicfg_pipeline.rollback.run import Run, Settings, take_run_lock


@contextmanager
def running(url: str, *, run_id: str = "test-run", say: Any = lambda line: None, **settings: Any) -> Iterator[Run]:
    """A run on `url` that holds the run lock."""
    session = connect(url, f"aicfg_pipeline {run_id}")
    try:
        take_run_lock(session)
        yield Run(session, spec.load(), run_id, settings=Settings(**settings), say=say)
    finally:
        session.close()


def migrate_forward(url: str) -> None:
    """Bring a database into the migrated state."""
    with running(url, run_id="forward") as run:
        migrate(run)
