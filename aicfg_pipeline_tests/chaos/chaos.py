"""Chaos: rollback, undo, drop and migrate in random order under random faults, with writers all the time.

What is done, which fault strikes it and when is decided by the seed alone; when exactly a fault meets the pipeline
depends on the machine. After each step that was struck the same step is run once more without a fault, and must end
as it should. At the end every acknowledged write is there exactly once, every check passes, and nothing of the
pipeline is left but the ledger.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import yaml

from aicfg_pipeline.embedded.database import OWNER
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.load import bundled_sql
from aicfg_pipeline_tests.chaos import child, faults
from aicfg_pipeline_tests.chaos.faults import Scene
from aicfg_pipeline_tests.chaos.stock import Stock, write_folder
from aicfg_pipeline_tests.tools import servers
from aicfg_pipeline_tests.tools.migration import migrate_forward
from aicfg_pipeline_tests.tools.servers import Database, Servers
from aicfg_pipeline_tests.tools.tcp_proxy import TcpProxy
from aicfg_pipeline_tests.tools.writers import COLUMNS, Writers

ORGANISATIONS = 2_500
HISTORIES: tuple[tuple[str, ...], ...] = (
    ("rollback", "undo"),
    ("rollback", "undo", "undo"),
    ("rollback", "drop", "migrate"),
    ("rollback", "rollback", "undo"),
    ("undo", "rollback", "undo"),
    ("migrate", "rollback", "undo", "drop"),
    ("drop", "rollback", "drop", "migrate"),
    ("rollback", "undo", "rollback", "drop", "rollback", "migrate"),
    ("prepare", "rollback", "undo"),
    ("prepare", "prepare", "abandon", "rollback", "undo"),
)
STARTS: dict[str, set[str]] = {
    "rollback": {"migrated", "coexisting", "copying", "prepared", "cut_over", "rolled_back", "never_migrated"},
    "undo": {"cut_over", "migrated", "copying", "prepared"},
    "drop": {"cut_over", "migrated", "copying", "prepared", "rolled_back"},
    "migrate": {"migrated", "rolled_back"},
    "prepare": {"migrated", "coexisting", "copying", "prepared"},
    "abandon": {"migrated", "coexisting", "copying", "prepared"},
}
"""From where an action has to succeed; from elsewhere it may refuse, and changes nothing then."""

PROGRESS_SECONDS = 30.0
PATIENCE = 60.0  # seconds until a process that hangs is killed; counted
CLEAN_TRIES = 12
STILL_THERE = {"already_running", "unreachable"}
DAGSTER_JOBS = {
    "rollback": "rollback",
    "undo": "undo_rollback",
    "drop": "drop_new_tables",
    "migrate": "migrate",
    "prepare": "prepare",
    "abandon": "abandon",
}

_UNTOUCHED = (
    f"SELECT id::text, ({', '.join(COLUMNS)}, configured_by, created_at, updated_at)::text"
    " FROM org_prompt_engineering WHERE custom_context_prompt IS NULL OR custom_context_prompt NOT LIKE %s"
)


@dataclass
class Outcome:
    """What a run of chaos has seen."""

    seed: int
    seconds: float = 0.0
    histories: int = 0
    attempts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    lost: int = 0
    longest_gap: float = 0.0
    longest_gap_calm: float = 0.0
    longest_wait: float = 0.0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s",
            f"histories           {self.histories}",
            f"attempts            {sum(self.attempts.values())}: {_listed(self.attempts)}",
            f"faults injected     {sum(self.faults.values())}: {_listed(self.faults)}",
            f"ended under faults  {_listed(self.refusals)}",
            f"writes acknowledged {self.acknowledged:,}",
            f"writes lost         {self.lost}",
            f"longest outage      {self.longest_gap:.2f} s ({self.longest_gap_calm:.2f} s without server restarts)",
            f"longest write       {self.longest_wait:.2f} s",
            f"problems            {len(self.problems)}",
        ]
        return "\n".join([*lines, *(f"  - {p}" for p in self.problems[:30])])


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"


# --- processes -------------------------------------------------------------------------------------------------


class Engine:
    """Starts actions in processes of their own, forked from one that has imported everything."""

    def __init__(self, folder: Path, database: Database, proxy: TcpProxy) -> None:
        self.folder, self.database, self.proxy = folder, database, proxy
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["aicfg_pipeline_tests.chaos.child"])
        self.number = 0

    def start(self, action: str, *, proxied: bool, settings: dict[str, Any]) -> Process:
        """Start an action."""
        self.number += 1
        outcome = self.folder / f"outcome-{self.number}.json"
        url = self._url(proxied)
        words = (action, url, outcome, self.folder / "exports", f"chaos-{self.number}", settings)
        process = self.context.Process(target=child.act, args=words, daemon=True)
        process.start()
        assert process.pid is not None

        def wait(seconds: float) -> bool:
            process.join(seconds)
            return process.exitcode is not None

        return Process(process.pid, wait, lambda: _told(outcome, process.exitcode))

    def dagster(self, action: str, *, proxied: bool) -> Process:
        """Start the same as a job."""
        self.number += 1
        home = self.folder / f"dagster-{self.number}"
        home.mkdir()
        told = ["dependents"]  # the publication of all tables, which stays as it is
        config: dict[str, Any] = {"confirm_database": self.database.name, "accept_hazards": told}
        if action == "drop":
            config["before_retention_ends"] = True
        (home / "run.yaml").write_text(yaml.safe_dump(config))
        words = [sys.executable, "-m", "dagster", "job", "execute", "-m", "aicfg_pipeline.definitions"]
        words += ["-j", DAGSTER_JOBS[action], "-c", str(home / "run.yaml")]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AICFG_", "DAGSTER_"))}
        kept |= {"AICFG_MIGRATION_DIR": os.environ["AICFG_MIGRATION_DIR"], "AICFG_STORE_IS_DURABLE": "1"}
        kept |= {"AICFG_HOME": str(home), "DAGSTER_HOME": str(home), "AICFG_DATABASE_URL": self._url(proxied)}
        with (home / "log").open("w") as log:
            process = subprocess.Popen(words, env=kept, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

        def wait(seconds: float) -> bool:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            return process.poll() is not None

        return Process(process.pid, wait, lambda: _told_by_dagster(home / "log", process.returncode))

    def _url(self, proxied: bool) -> str:
        if not proxied:
            return self.database.url
        tcp = self.database.cluster.tcp_url(OWNER, self.database.name, servers.PASSWORD)
        return tcp.replace(f":{self.database.cluster.tcp_port}/", f":{self.proxy.port}/")


@dataclass
class Process:
    """A started action: its pid, a wait that says whether it has ended, and how it ended."""

    pid: int
    wait: Callable[[float], bool]
    told: Callable[[], dict[str, str]]

    def end(self, seconds: float) -> dict[str, str]:
        """Wait for it; kill it where it hangs."""
        if not self.wait(seconds):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait(10)
            return {"kind": "hung", "text": f"no end after {seconds:.0f} s"}
        return self.told()


def _told(outcome: Path, status: int | None) -> dict[str, str]:
    if outcome.exists():
        with contextlib.suppress(json.JSONDecodeError):
            return dict(json.loads(outcome.read_text(encoding="utf-8")))
    if status == -signal.SIGKILL:
        return {"kind": "killed", "text": ""}
    return {"kind": "bug", "text": f"ended with status {status} and without a word"}


def _told_by_dagster(log: Path, status: int) -> dict[str, str]:
    text = log.read_text(encoding="utf-8", errors="replace")
    if status == 0:
        return {"kind": "done", "text": ""}
    if status < 0:
        return {"kind": "killed", "text": ""}
    for line in text.splitlines():
        for name, code in _codes().items():
            if f"Failure: {name}" in line or f"{name} (" in line:
                return {"kind": code, "text": text[-3000:]}
    ours = "dagster._core.definitions.events.Failure" in text or "Failure:" in text
    return {"kind": "failed in Dagster" if ours else "bug", "text": text[-6000:]}


def _codes() -> dict[str, str]:
    from aicfg_pipeline import errors

    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.PipelineError)]
    return {c.__name__: c.code for c in classes}


# --- the run ---------------------------------------------------------------------------------------------------


class Chaos:
    """One database, its writers, and random histories until the time is up."""

    def __init__(
        self,
        place: tuple[Database, Stock],
        folder: Path,
        seed: int,
        *,
        dagster: float = 0.06,
        say: Callable[[str], None] = print,
    ) -> None:
        (self.database, self.stock), self.folder, self.seed, self.say = place, folder, seed, say
        self.stock.seed = seed
        self.dagster_share = dagster
        self.outcome = Outcome(seed)
        self.restarts: list[tuple[float, float]] = []

    def run(self, seconds: float) -> Outcome:
        """Run histories for so many seconds, then bring it to an end and judge."""
        began = time.time()
        limited = faults.limit_disk(self.database, self.folder)
        self.say(
            "a full disk is "
            + ("a tmpfs that is too small" if limited else "temp_file_limit (no tmpfs can be mounted)")
        )
        port = self.database.cluster.tcp_port
        assert port is not None
        with TcpProxy(port) as self.proxy:
            self.engine = Engine(self.folder, self.database, self.proxy)
            writers = Writers(self.database.url, threads=4, pause=0.004, seed=self.seed, both_names=True)
            self.stock.write(self.database)
            with writers:
                untouched = self._untouched(writers.token)
                number, said = 0, began
                while time.time() - began < seconds:
                    if time.time() - said > PROGRESS_SECONDS:
                        said = time.time()
                        self.say(self._progress(said - began, seconds))
                    self._history(random.Random(f"{self.seed}/{number}"))
                    number += 1
                    self.outcome.histories = number
                    self._look_at_stock()
                self._to_the_end()
            self.stock.end()
            self._judge(writers, untouched)
        self.outcome.seconds = time.time() - began
        return self.outcome

    def _progress(self, passed: float, seconds: float) -> str:
        seen = self.outcome
        return (
            f"{passed:5.0f} of {seconds:.0f} s: {seen.histories} histories, {sum(seen.faults.values())} faults,"
            f" {len(seen.problems)} problems"
        )

    def _history(self, chosen: random.Random) -> None:
        for action in chosen.choice(HISTORIES):
            for _ in range(chosen.choice((0, 1, 1, 1, 2))):
                self._struck(action, chosen)
            self._clean(action, dagster=chosen.random() < self.dagster_share)

    def _struck(self, action: str, chosen: random.Random) -> None:
        """Run an action under a fault; it may end in any way but a bug."""
        name = chosen.choice(sorted(faults.FAULTS))
        delay = chosen.choice((0.05, 0.15, 0.3, 0.6, 1.0)) * (0.5 + chosen.random())
        through_dagster = chosen.random() < self.dagster_share
        other = chosen.choice(("rollback", "undo", "drop", "migrate", action))
        second: list[Process] = []

        def start_other() -> None:
            second.append(self.engine.start(other, proxied=False, settings={"lock_attempts": 3}))

        scene = Scene(self.database, self.proxy, self.folder, random.Random(chosen.random()), start_other)
        scene.restarts = self.restarts
        proxied = name.startswith("proxy")
        with faults.FAULTS[name](scene) as strike:
            process = self._start(action, through_dagster, proxied=proxied, attempts=chosen.choice((2, 4, 25)))
            scene.pid = process.pid
            time.sleep(delay + (4 if through_dagster else 0))
            if strike is not None:
                strike()
            told = process.end(PATIENCE)
        self.proxy.heal()
        self.proxy.cut()
        self.outcome.faults[name] += 1
        self._note(f"{action} under {name}", told)
        for process in second:
            self._note(f"{other} as second pipeline", process.end(PATIENCE))

    def _start(self, action: str, through_dagster: bool, *, proxied: bool, attempts: int) -> Process:
        self.outcome.attempts[f"{action} (dagster)" if through_dagster else action] += 1
        if through_dagster:
            return self.engine.dagster(action, proxied=proxied)
        return self.engine.start(action, proxied=proxied, settings={"lock_attempts": attempts})

    def _note(self, what: str, told: dict[str, str]) -> None:
        self.outcome.refusals[told["kind"]] += 1
        if told["kind"] in ("bug", "gate", "gate_failed", "hung", "failed in Dagster"):
            self._problem(f"{what}: {told['kind']}: {told['text']}")

    def _problem(self, text: str) -> None:
        self.outcome.problems.append(text)
        self.say(f"PROBLEM (seed {self.seed}, history {self.outcome.histories}): {text}")

    def _clean(self, action: str, *, dagster: bool = False) -> None:
        """Run an action without a fault: from where it can start, it has to succeed."""
        states = self._states()
        told: dict[str, str] = {}
        for _ in range(CLEAN_TRIES):
            told = self._start(action, dagster, proxied=False, attempts=25).end(PATIENCE * 2)
            if told["kind"] not in STILL_THERE:
                break
            time.sleep(0.5)  # the backend of a process that was killed has not noticed yet
        if told["kind"] != "done" and states <= STARTS[action]:
            self._problem(f"{action} without a fault, from {sorted(states)}: {told['kind']}: {told['text']}")

    def _states(self) -> set[str]:
        session = connect(self.database.url)
        try:
            return set(look(session, spec.load()).summary.values())
        finally:
            session.close()

    def _look_at_stock(self) -> None:
        for found in self.stock.judge(self.database):
            self._problem(f"the stock: {found}")
        self.stock.problems.clear()

    # --- the end ---

    def _to_the_end(self) -> None:
        """Wherever it stands: rolled back, dropped, nothing left."""
        for action in ("rollback", "drop"):
            self._clean(action)
        states = self._states()
        if states != {"rolled_back"}:
            self._problem(f"at the end the pairs are {sorted(states)}, not rolled_back")

    def _untouched(self, token: str) -> dict[str, str]:
        with self.database.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            is_view = "SELECT to_regclass('public.ai_cfg_org_prompts') IS NOT NULL"
            migrated = bool(connection.execute(is_view).fetchone()[0])  # type: ignore[index]
            return dict(connection.execute(_untouched_query(migrated), (f"{token}:%",)).fetchall())  # type: ignore[arg-type]

    def _judge(self, writers: Writers, untouched: dict[str, str]) -> None:
        self._look_at_stock()
        told = self.engine.start("verify", proxied=False, settings={}).end(PATIENCE)
        if told["kind"] != "done":
            self._problem(f"the checks at the end: {told['kind']}: {told['text']}")
        with self.database.connect() as connection:
            odd = writers.verify(connection)
            left = connection.execute(engine("leftovers").as_string(connection)).fetchall()
        for found in odd[:10]:
            self._problem(
                f"{found.kind}: {found.key}: expected {str(found.expected)[:400]}, found {str(found.found)[:400]}"
            )
        now = self._untouched(writers.token)
        wrong = [key for key in untouched.keys() | now.keys() if untouched.get(key) != now.get(key)]
        for key in wrong[:5]:
            self._problem(f"a row that nobody wrote: {key}: {untouched.get(key)!r} is now {now.get(key)!r}")
        if left:
            self._problem(f"left behind: {left}")
        answers = [e for e in writers.errors if e.sqlstate == "wrong_answer"]
        for answer in answers[:5]:
            self._problem(f"a wrong answer: {answer}")
        self.outcome.lost = len(odd) + len(wrong)
        self.outcome.acknowledged = writers.acknowledged + self.stock.acknowledged
        self.outcome.longest_wait = max(a.milliseconds for a in writers.journal) / 1000
        self._gaps(sorted(a.at for a in writers.journal))

    def _gaps(self, times: list[float]) -> None:
        for before, after in pairwise(times):
            self.outcome.longest_gap = max(self.outcome.longest_gap, after - before)
            if not any(began < after and ended > before for began, ended in self.restarts):
                calm = max(self.outcome.longest_gap_calm, after - before)
                self.outcome.longest_gap_calm = calm


def _untouched_query(migrated: bool) -> str:
    """The view shows created_by and updated_by where the old table has configured_by."""
    return _UNTOUCHED.replace("configured_by", "coalesce(updated_by, created_by)") if migrated else _UNTOUCHED


def fill(database: Database, stock: Stock) -> None:
    """A migrated database with a few thousand organisations, and a pair that has everything besides."""
    servers.fill_old(database)
    stock.build_old(database)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SET search_path = public")
        connection.execute("SELECT set_config('aicfg.organisations', %s, false)", (str(ORGANISATIONS),))
        connection.execute((bundled_sql() / "demo" / "bulk_rows.sql").read_bytes())
    migrate_forward(database.url)
    stock.remember_new(database)


@contextmanager
def arena(folder: Path) -> Iterator[tuple[Database, Stock]]:
    """A server and a database of its own, and the migration that all who are started here find."""
    found, stock = Servers(folder), Stock()
    with ExitStack() as opened:
        opened.callback(faults.unmount, folder)
        opened.callback(found.stop)
        migration = str(write_folder(folder / "migration"))
        opened.enter_context(patch.dict(os.environ, {"AICFG_MIGRATION_DIR": migration}))
        with found.get().database("chaos", partial(fill, stock=stock)) as database:
            # PostgreSQL (seen in 18.4) sets a cloned database's sequences back to what the template's last said when it
            # crashes before the first checkpoint after the clone: what is written ahead is in the template's log only
            database.admin().execute("CHECKPOINT")
            yield database, stock


def chaos(seconds: float, seed: int, *, dagster: float = 0.06, say: Callable[[str], None] = print) -> Outcome:
    """Run it in a temporary folder."""
    with (
        tempfile.TemporaryDirectory(prefix="aicfg-chaos-", ignore_cleanup_errors=True) as name,
        arena(Path(name)) as place,
    ):
        return Chaos(place, Path(name), seed, dagster=dagster, say=say).run(seconds)
