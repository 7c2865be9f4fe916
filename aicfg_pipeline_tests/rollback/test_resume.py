"""Killed anywhere, run again: the end is the same as without the kill. And a stale shadow is made anew.

The connection is broken before the first and after every statement of every writing transaction of each step; what
the client sees and what the server has done differ at every COMMIT, which is counted among the statements.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aicfg_pipeline.embedded.database import fill_demo
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.rollback.tables import pieces
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools.everything import EVERYTHING
from aicfg_pipeline_tests.tools.kills import counting, differing, portrait, survived
from aicfg_pipeline_tests.tools.migration import drop_parked, migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database, Server, Servers, fill_migrated, fill_old
from aicfg_pipeline_tests.tools.writers import Writers

SETTINGS, PROMPTS, NEW = "sys_rag", "org_prompt_engineering", "ai_cfg_org_prompts"
NO_ONE = "'00000000-0000-0000-0000-{:012d}'"


OUTSIDE = (
    f"CREATE TABLE audit (prompt uuid CONSTRAINT of_prompt REFERENCES {NEW} (id) ON DELETE CASCADE);"
    f"INSERT INTO audit SELECT id FROM {NEW}; COMMENT ON CONSTRAINT of_prompt ON audit IS 'whose'"
)
"""A table of others that refers to a new table. It has to refer to whatever is in use, whenever the run is ended."""


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

    def __init__(self, database: Database, done: Iterable[int] = ()) -> None:
        self.database = database
        self.done = set(done)

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
        database.execute(OUTSIDE)
        database.admin().execute(
            f"CREATE PUBLICATION realtime FOR TABLE {NEW}; ALTER PUBLICATION realtime OWNER TO postgres"
        )
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


@pytest.mark.slow
@pytest.mark.two_versions
@pytest.mark.parametrize("walk", WALKS, ids=lambda w: w.name)
def test_killed_at_every_statement(
    walk: Walk, running_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One database is killed at each statement in turn, and again from where that has left it; whatever a commit has
    let stand is finished on a copy. So every statement of every transaction is the last one once."""
    monkeypatch.setattr(pieces, "PIECE_PAGES", 2)  # several
    with prepared(running_server, walk) as database:
        options = Injected(database).options
        with counting(database, monkeypatch, **options), running(database.url) as run:
            walk.step(run, tmp_path)
            for step in walk.again:
                step(run, tmp_path)
        wanted = portrait(database)
    with prepared(running_server, walk) as database:
        injected = Injected(database)
        kills, commits, killed_after = 0, 0, 0
        everywhere = running_server.version == 18 or EVERYTHING
        stride = 1 if everywhere else 6  # every statement on one version, here and there on another
        reached = left_of(database)
        while True:
            writes = len(injected.done)
            with (
                counting(database, monkeypatch, kill_after=killed_after, **injected.options) as counter,
                survived(),
                running(database.url) as run,
            ):
                walk.step(run, tmp_path)
            if not counter.killed:
                break
            kills += 1
            left = left_of(database)
            if not differing(reached, left) or len(injected.done) > writes:
                reached, killed_after = left, killed_after + stride
                continue
            stands = any(s == "COMMIT" or s.startswith("VACUUM") for s in counter.seen)
            assert stands, f"a broken transaction left something: {counter.seen[-1]}"
            commits += 1
            with running_server.copy(database) as copy:
                finish(copy, walk, tmp_path, monkeypatch, injected)
                assert differing(wanted, portrait(copy)) == [], f"killed after commit {commits} and {kills} kills"
            reached, killed_after = left, 1
        finish(database, walk, tmp_path, monkeypatch, injected)
        assert differing(wanted, portrait(database)) == []
    assert kills > 5 / stride
    print(f"{walk.name}: {kills} kills, {commits} commits that changed something")


def left_of(database: Database) -> dict[str, Any]:
    """The state but for the ledger: comparing again is written down again, and changes nothing."""
    found = portrait(database, exact=True)
    found["rows"] = {name: rows for name, rows in found["rows"].items() if not name.endswith(".ledger")}
    return found


def finish(database: Database, walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected) -> None:
    """Run everything again in a new session; what has not been written yet is."""
    remaining = Injected(database, injected.done)
    with counting(database, monkeypatch, **remaining.options):
        for step in walk.again:
            with running(database.url, run_id="again") as run:
                step(run, tmp_path)


# --- whole processes and servers -------------------------------------------------------------------------------

ENGINE = """
import sys
from pathlib import Path
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.tools.migration import roll_back, running
for _ in range(int(sys.argv[2])):
    with running(sys.argv[1]) as run:
        roll_back(run)
        print("rolled back", flush=True)
        undo_rollback(run)
        print("undone", flush=True)
"""


def start_engine(database: Database, rounds: int = 50) -> subprocess.Popen[str]:
    """The engine in a process of its own, which rolls back and undoes until it is killed."""
    command = [sys.executable, "-c", ENGINE, database.url, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_free(database: Database) -> None:
    """Wait until the dead process's backend has noticed."""
    deadline = time.monotonic() + 20
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'aicfg%'"
    )
    while database.query(query) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_the_process_is_killed_at_any_moment(migrated_database: Database) -> None:
    """SIGKILL, ten times, with writers: each time the next process goes on, and at the end nothing is lost."""
    dice = random.Random(3)
    with Writers(migrated_database.url, threads=2, pause=0.002) as writers:
        for _ in range(10):
            process = start_engine(migrated_database)
            assert process.stdout is not None
            for _ in range(dice.randrange(3)):
                process.stdout.readline()
            if dice.random() < 0.8:
                process.stdout.readline()
            time.sleep(dice.random() * 0.4)
            process.kill()
            _, errors = process.communicate(timeout=20)
            assert errors == ""
            until_free(migrated_database)
        with running(migrated_database.url) as run:
            roll_back(run)
        writers.wait_for(20)
        with running(migrated_database.url) as run:
            undo_rollback(run)
    assert writers.errors == []
    with migrated_database.connect() as connection:
        assert writers.verify(connection) == []
    with running(migrated_database.url) as run:
        assert set(run.look().summary.values()) == {State.MIGRATED}


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that nobody minds being stopped."""
    found = Servers(tmp_path_factory.mktemp("own"))
    yield found.get(18)
    found.stop()


@pytest.mark.slow
def test_the_server_is_stopped_at_once_in_the_middle(own_server: Server) -> None:
    """`pg_ctl stop -m immediate` is a crash: what was committed is there after the recovery, and the engine goes on."""
    dice = random.Random(5)
    own_server.template("old", fill_old)
    with own_server.database("migrated", fill_migrated, parent="old") as database:
        before = portrait(database)
        for _ in range(4):
            process = start_engine(database)
            assert process.stdout is not None
            for _ in range(1 + dice.randrange(2)):
                process.stdout.readline()
            time.sleep(dice.random() * 0.4)
            own_server.cluster.stop("immediate")
            _, errors = process.communicate(timeout=20)
            assert "Error" in errors
            own_server.cluster.start()
        with running(database.url) as run:
            roll_back(run)
        with running(database.url) as run:
            undo_rollback(run)
        assert differing(before, portrait(database)) == []


# --- remains of older attempts ---------------------------------------------------------------------------------


def test_an_undo_killed_before_it_settled_is_finished_by_a_rollback(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retired table lies where the shadow would be, with its foreign keys on: it is recognised and made anew."""
    with running(migrated_database.url) as run:
        roll_back(run)
        monkeypatch.setattr("aicfg_pipeline.rollback.steps.undo.settle", lambda run: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            undo_rollback(run)
        monkeypatch.undo()
    migrated_database.execute(f"UPDATE {PROMPTS} SET citation_style = 'none'")
    said: list[str] = []
    with running(migrated_database.url, say=said.append) as run:
        assert run.look()[PROMPTS].state == State.COPYING
        roll_back(run)
        assert run.look()[PROMPTS].state == State.CUT_OVER
    assert any("what an undo has left" in line for line in said)
    assert migrated_database.query(f"SELECT DISTINCT citation_style FROM {PROMPTS}") == [("none",)]
    with running(migrated_database.url) as run:
        undo_rollback(run)
    assert migrated_database.query("SELECT count(*) FROM pg_constraint WHERE NOT convalidated") == [(0,)]


STALE = {
    "log_gone": (
        f"DROP TRIGGER aicfg_rollback_change_log ON {NEW}; DROP TRIGGER aicfg_rollback_change_log_truncate ON {NEW};"
        f" DROP FUNCTION aicfg_rollback.change_log_{PROMPTS}(); DROP TABLE aicfg_rollback.change_log_{PROMPTS}",
        "its change log is gone",
    ),
    "trigger_gone": (f"DROP TRIGGER aicfg_rollback_change_log ON {NEW}", "triggers on ai_cfg_org_prompts are gone"),
    "trigger_off": (f"ALTER TABLE {NEW} DISABLE TRIGGER aicfg_rollback_change_log", "gone or disabled"),
    "trigger_not_always": (f"ALTER TABLE {NEW} ENABLE TRIGGER aicfg_rollback_change_log", "gone or disabled"),
    "columns": (f"ALTER TABLE {NEW} ADD COLUMN fresh text", "have changed since"),
    "unknown": ("TRUNCATE aicfg_rollback.ledger", "the ledger does not know it"),
    "somebody_s": (
        f"DROP TABLE aicfg_rollback.{PROMPTS}; CREATE TABLE aicfg_rollback.{PROMPTS} (LIKE {NEW})",
        "the ledger does not know it",
    ),
    "shadow_gone": (f"DROP TABLE aicfg_rollback.{PROMPTS}", None),
}


@pytest.mark.parametrize("harm", STALE)
def test_a_stale_shadow_is_made_anew(migrated_database: Database, harm: str) -> None:
    statement, told = STALE[harm]
    said: list[str] = []
    with running(migrated_database.url) as run:
        copy_back(run, PROMPTS)
    migrated_database.execute(f"UPDATE {NEW} SET created_by = (SELECT id FROM auth.users LIMIT 1)")
    migrated_database.execute(statement)
    migrated_database.execute(f"UPDATE {NEW} SET citation_style = 'none'")
    with running(migrated_database.url, say=said.append) as run:
        roll_back(run)
    assert migrated_database.query(f"SELECT DISTINCT citation_style FROM {PROMPTS}") == [("none",)]
    assert told is None or any(told in line and "made anew" in line for line in said), said


def test_a_shadow_of_another_ddl_is_made_anew(migrated_database: Database, tmp_path: Path) -> None:
    said: list[str] = []
    with running(migrated_database.url) as run:
        copy_back(run, PROMPTS)
    folder = tmp_path / "sql"
    shutil.copytree(spec.bundled_sql(), folder)
    file = folder / "old" / "org_prompt_engineering.sql"
    file.write_text(
        file.read_text(encoding="utf-8").replace(
            "ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_pkey",
            "ONLY org_prompt_engineering ADD CONSTRAINT another_pkey",
        ),
        encoding="utf-8",
    )
    with running(migrated_database.url, say=said.append) as run:
        run.migration = spec.load(folder)
        roll_back(run)
    assert any("the migration's files have changed since" in line for line in said)
    assert migrated_database.exists("public.another_pkey") == "i"
