"""Takes an example through its story with a writer at work: migrate, rollback, undo, rollback, drop.

An example is a folder with `migration.yaml`, its SQL files and `seed.sql`, which makes what was there before. What a test
expects at each chapter is its own to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

EXAMPLES = Path(__file__).parents[2] / "examples"
CHAPTERS = ("migrate", "rollback", "undo", "rollback", "drop")


def seed(example: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what was there before the migration, and name the example's folder as the migration's."""
    database.execute((EXAMPLES / example / "seed.sql").read_text(encoding="utf-8"))
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(EXAMPLES / example))


@contextmanager
def writing(database: Database, statement: str) -> Iterator[list[int]]:
    """Somebody who runs a statement again and again, with a number for `%s`; yields the numbers that were written.

    Raises what the statement raises: whoever uses the old names must never notice more than a moment's wait.
    """
    stop, written, wrong = threading.Event(), list[int](), list[Exception]()

    def write() -> None:
        with psycopg.connect(database.url, autocommit=True, prepare_threshold=None) as connection:
            while not stop.wait(0.02):
                try:
                    connection.execute(statement, (len(written),))  # type: ignore[call-overload]
                except psycopg.Error as error:
                    wrong.append(error)
                    return
                written.append(len(written))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()
    assert wrong == []


def chapters(
    database: Database, exports: Path, writes: str, *, accept: tuple[str, ...] = ()
) -> Iterator[tuple[str, list[int]]]:
    """Yield after each chapter which one it was and what has been written so far. `accept` is for `migrate` only."""
    told: dict[str, Callable[[Run], object]] = {
        "migrate": migrate,
        "rollback": roll_back,
        "undo": _undo,
        "drop": lambda run: drop_parked(run, exports),
    }
    with writing(database, writes) as written:
        for number, chapter in enumerate(CHAPTERS):
            hazards = accept if chapter == "migrate" else ()
            with running(database.url, run_id=f"{number} {chapter}", accept_hazards=hazards) as run:
                told[chapter](run)
            yield chapter, written


def _undo(run: Run) -> None:
    lifecycle.begin(run, "undo_rollback")
    undo_rollback(run)
