"""Killed anywhere, run again: the end is the same as without the kill. And a stale shadow is made anew.

The connection is broken before the first and after every statement of every writing transaction of each step; what
the client sees and what the server has done differ at every COMMIT, which is counted among the statements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from aicfg_pipeline.postgres.embedded import fill_demo
from aicfg_pipeline.rollback.compare import compare
from aicfg_pipeline.rollback.copy_back import copy_back
from aicfg_pipeline.rollback.cut_over import cut_over
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.undo import undo_rollback
from aicfg_pipeline_tests.tools.kills import counting, differing, portrait, survived
from aicfg_pipeline_tests.tools.migration import drop_parked, migrate_forward, running
from aicfg_pipeline_tests.tools.servers import Database, Server

SETTINGS, PROMPTS = "sys_rag", "org_prompt_engineering"
NO_ONE = "'00000000-0000-0000-0000-{:012d}'"


def copy_settings(run: Run, _: Path) -> None:
    copy_back(run, SETTINGS)


def copy_prompts(run: Run, _: Path) -> None:
    copy_back(run, PROMPTS)


def comparing(run: Run, _: Path) -> None:
    compare(run)


def cutting_over(run: Run, _: Path) -> None:
    cut_over(run)


def undoing(run: Run, _: Path) -> None:
    undo_rollback(run)


Step = Callable[[Run, Path], None]
ROLLBACK: tuple[Step, ...] = (copy_settings, copy_prompts, comparing, cutting_over)


@dataclass(frozen=True)
class Walk:
    """A step to be killed: what was done before it, and what is run again after the kill."""

    step: Step
    before: tuple[Step, ...]
    again: tuple[Step, ...]

    @property
    def name(self) -> str:
        return self.step.__name__


WALKS = (
    *(Walk(step, ROLLBACK[:n], ROLLBACK) for n, step in enumerate(ROLLBACK)),
    Walk(undoing, ROLLBACK, (undoing,)),
    Walk(drop_parked, ROLLBACK, (drop_parked,)),
)


def write(database: Database, number: int) -> None:
    """Writes through the old name, the same in every database: a row goes, a row comes, one gives its unique value on.

    They are said so that they can be said again. No UPDATE of prompts: the time it stamps would differ.
    """
    database.execute(
        f"""
        BEGIN;
        INSERT INTO orgs (id, name, created_at, updated_at)
            VALUES ({NO_ONE.format(number)}, 'kill {number}', '2026-01-01', '2026-01-01') ON CONFLICT DO NOTHING;
        DELETE FROM org_prompt_engineering WHERE id IN (SELECT id FROM org_prompt_engineering
            WHERE id::text NOT LIKE '00000000%' ORDER BY id LIMIT 1)
            AND NOT EXISTS (SELECT FROM org_prompt_engineering WHERE id = {NO_ONE.format(number)});
        INSERT INTO org_prompt_engineering (id, org_id, custom_system_prompt, created_at, updated_at)
            SELECT {NO_ONE.format(number)}, {NO_ONE.format(number)}, 'write {number}', '2026-01-01', '2026-01-02'
            WHERE NOT EXISTS (SELECT FROM org_prompt_engineering WHERE id = {NO_ONE.format(number)});
        COMMIT"""
    )


class Injected:
    """Writes at the moments that matter, once each: when the rows have been copied, and right before the locks."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.done: set[int] = set()

    def once(self, number: int) -> None:
        if number not in self.done:
            self.done.add(number)
            write(self.database, number)

    @property
    def options(self) -> dict[str, Callable[..., None]]:
        return {
            "inject": lambda text: self.once(11) if "_pkey PRIMARY KEY" in text else None,
            "before_locks": lambda: self.once(12),
        }


def _fill(walk: Walk) -> Callable[[Database], None]:
    def fill(database: Database) -> None:
        fill_demo(database.admin_url, database.url, organisations=6)
        migrate_forward(database.url)
        for number, step in enumerate(walk.before, start=1):
            with running(database.url) as run:
                step(run, Path())
            write(database, number)

    return fill


@contextmanager
def prepared(server: Server, walk: Walk) -> Iterator[Database]:
    """A database right before the step, with writes waiting in the change logs."""
    with server.database(f"kill_{walk.name}", _fill(walk)) as database:
        yield database


def _finish(database: Database, walk: Walk, tmp_path: Path) -> None:
    for step in walk.again:
        with running(database.url, run_id="again") as run:
            step(run, tmp_path)


@pytest.mark.every_version
@pytest.mark.parametrize("walk", WALKS, ids=lambda w: w.name)
def test_killed_after_any_statement_the_end_is_the_same(
    walk: Walk, running_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with prepared(running_server, walk) as database:
        options = Injected(database).options
        with counting(database, monkeypatch, **options) as counter, running(database.url) as run:
            walk.step(run, tmp_path)
        total = len(counter.seen)
        with counting(database, monkeypatch, **options):
            _finish(database, walk, tmp_path)
        wanted = portrait(database)
    assert total > 5
    chosen = range(total + 1)
    if running_server.version != 18:  # everywhere on one version; on the others what a version may do differently
        chosen = [n for n in chosen if n % 7 == 0 or n == total or counter.seen[n - 1] == "COMMIT"]
    reached = None
    for n in chosen:
        where = f"after statement {n} of {total}: {counter.seen[n - 1][:150] if n else 'none'}"
        with prepared(running_server, walk) as database:
            options = Injected(database).options
            with (
                counting(database, monkeypatch, kill_after=n, **options),
                survived(),
                running(database.url) as run,
            ):
                walk.step(run, tmp_path)
            left = portrait(database, exact=True)
            if n and reached is not None and not ends_something(counter.seen[n - 1]) and not differing(reached, left):
                continue  # nothing is left of this transaction, so what follows is what followed the last commit
            reached = left
            with counting(database, monkeypatch, **options):
                _finish(database, walk, tmp_path)
            assert differing(wanted, portrait(database)) == [], where


def ends_something(statement: str) -> bool:
    return statement == "COMMIT" or statement.startswith("VACUUM")
