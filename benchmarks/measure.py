"""The measurements. Each takes one sample of several figures in a fresh database: both sides in one run."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import yaml

from aicfg_pipeline.postgres import fingerprint
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.postgres.statements import private
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.rollback.tables.sources import shadow_source
from aicfg_pipeline.spec import load as spec
from benchmarks.server import HERE, Database, Server, blocks, python
from benchmarks.writers import Writers

IDLE_SECONDS = 3.0
OLD, NEW = "org_prompt_engineering", "ai_cfg_org_prompts"
LIVE = "SELECT pg_database_size(current_database())"


@dataclass
class Sample:
    """What one run has measured: figure to (ours, against), in the figure's unit."""

    pairs: dict[str, tuple[float, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # plain times, for the growth
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Step:
    """A step of the pipeline in the child process, by `time.time()`."""

    began: float
    ended: float
    more: dict[str, object]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


def child(url: str, *names: str, environment: dict[str, str] | None = None) -> dict[str, Step]:
    """Run the pipeline in a process of its own; return its steps by name."""
    process = python("-m", "benchmarks.child", url, *names, environment=environment)
    output = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"the pipeline failed:\n{output}")
    told = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {t.pop("step"): Step(t.pop("began"), t.pop("ended"), t) for t in told}


# --- writers shut out ------------------------------------------------------------------------------------------


def with_writers(server: Server, rows: int) -> Sample:
    """A rollback and an undo, then the runbook, each with four writers on it all the time."""
    sample = Sample()
    with server.database(rows) as database, Writers(database.url, rows) as writers:
        time.sleep(IDLE_SECONDS)
        idle_until = time.time()
        with largest(database) as most:
            steps = child(database.url, "rollback", "undo")
        whole, copy = steps["whole_rollback"], steps["copy_back"]
        rate, idle = writers.rate(copy.began, copy.ended), writers.rate(idle_until - IDLE_SECONDS, idle_until)
        held = float(str(database.scalar(blocks()["locks_held"].sql, {"step": "cut_over"})))
        undo_held = float(str(database.scalar(blocks()["locks_held"].sql, {"step": "undo"})))
        waited = writers.longest_wait(whole.began, whole.ended) * 1000
        swap = writers.longest_wait(steps["cut_over"].began, steps["cut_over"].ended) * 1000
        undo_waited = writers.longest_wait(steps["undo"].began, steps["undo"].ended) * 1000
        shut_out = server.longest_statement(database, whole.began, whole.ended)
        undo_shut_out = server.longest_statement(database, steps["undo"].began, steps["undo"].ended)
        calm = writers.longest_wait(idle_until - IDLE_SECONDS, idle_until) * 1000
        ours = int(str(database.scalar(blocks()["size_of_tables"].sql)))
    with server.database(rows) as database, Writers(database.url, rows) as runbook:
        time.sleep(IDLE_SECONDS / 3)
        began = time.time()
        output = server.psql(database.url, HERE / "mended_runbook.sql").stdout.split()
        ended = time.time()
        time.sleep(0.2)
    runbook_shut_out = server.longest_statement(database, began, ended)
    runbook_waited = runbook.longest_wait(began, ended) * 1000
    runbook_held = (float(output[output.index("unlocked") + 1]) - float(output[output.index("locked") + 1])) * 1000
    sample.pairs = {
        "longest wait of a writer, whole rollback": (waited, runbook_waited),
        "longest wait of a writer, during the cut-over": (swap, runbook_waited),
        "longest statement of a writer, in the server": (shut_out, runbook_shut_out),
        "locks held": (held, runbook_held),
        "undo, locks held": (undo_held, held),
        "undo, longest wait of a writer": (undo_waited, runbook_waited),
        "undo, longest statement of a writer, in the server": (undo_shut_out, runbook_shut_out),
        "writers' throughput while copying": (rate, idle),
        "disk needed while copying": (float(most[0]) / 2**20, ours / 2**20),
    }
    sample.seconds = {
        "rollback with writers": whole.seconds,
        "longest wait of a writer with nothing running": calm / 1000,
    }
    sample.notes += [f"writer error: {e}" for e in (*writers.errors, *runbook.errors)]
    return sample


def from_prepared(server: Server, rows: int) -> Sample:
    """The switch of a prepared rollback against one that was not prepared, each with four writers on it all the time."""
    with server.database(rows) as database, Writers(database.url, rows):
        steps = child(database.url, "prepare", "wait", "switch")
        switched = _swapped(database) - steps["whole_switch"].began
    with server.database(rows) as database, Writers(database.url, rows):
        from_nothing = child(database.url, "switch")["whole_switch"]
        not_prepared = _swapped(database) - from_nothing.began
    seconds = {
        f"the switch of a prepared rollback: {n}": steps[n].seconds for n in ("copy_back", "compare", "cut_over")
    }
    seconds["the switch of a prepared rollback: until the foreign keys are validated"] = steps["whole_switch"].seconds
    return Sample(pairs={"from prepared: launch to swapped": (switched, not_prepared)}, seconds=seconds)


def _swapped(database: Database) -> float:
    """Return when the names were swapped, as the ledger has it: the foreign keys are validated after that."""
    return float(str(database.scalar(blocks()["swapped_at"].sql)))


@contextmanager
def largest(database: Database) -> Iterator[list[int]]:
    """How much the database grows at most while the block runs, in bytes."""
    ended, largest = threading.Event(), [0]
    before = int(str(database.scalar(LIVE)))

    def watch() -> None:
        with psycopg.connect(database.admin_url, autocommit=True) as connection:
            while not ended.wait(0.2):
                row = connection.execute(LIVE).fetchone()
                largest[0] = max(largest[0], (row[0] if row else before) - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield largest
    finally:
        ended.set()
        thread.join(timeout=10)


# --- idle ------------------------------------------------------------------------------------------------------


def idle(server: Server, rows: int, *, reladiff: bool) -> Sample:
    """Nobody else is there: copying, comparing, the whole rollback, each against what a person would do by hand."""
    sample = Sample()
    with server.database(rows) as database:
        bare = _bare_copy(database)
        with psycopg.connect(database.admin_url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        steps = child(database.url, "shadow")
        copy, compare = steps["copy_back"].seconds, steps["compare"].seconds
        sample.pairs["copy back with indexes"] = (copy, bare)
        sample.pairs["copy back with indexes and comparison"] = (copy + compare, bare)
        _checksums(database, sample)
        reladiff_seconds = _reladiff(database) if reladiff else None
        finish = child(database.url, "finish")
        whole = copy + compare + finish["cut_over"].seconds + finish["verify"].seconds
    with server.database(rows) as database:
        began = time.perf_counter()
        server.psql(database.url, HERE / "mended_runbook.sql")
        runbook = time.perf_counter() - began
    if reladiff_seconds is not None:
        joined, hashed = reladiff_seconds
        sample.pairs["checksum against reladiff"] = (sample.seconds["checksum"], hashed)
        sample.pairs["whole rollback"] = (whole, runbook + min(joined, hashed))
        sample.seconds |= {"reladiff, join": joined, "reladiff, hash": hashed}
    sample.seconds |= {
        "rollback, idle": whole,
        "copy back": copy,
        "compare": compare,
        "cut over": finish["cut_over"].seconds,
        "verify": finish["verify"].seconds,
        "bare copy": bare,
        "runbook": runbook,
    }
    return sample


def _bare_copy(database: Database) -> float:
    """The floor: INSERT … SELECT into tables without indexes, then the same indexes."""
    migration = spec.load()
    with psycopg.connect(database.url) as connection:
        connection.execute(blocks()["bare_schema"].sql)  # type: ignore[arg-type]
        connection.execute("SET LOCAL search_path = bare, public")
        for pair in migration.pairs:
            for statement in pair.old_ddl.blocks["table"].statements:
                connection.execute(statement)  # type: ignore[arg-type]
    began = time.perf_counter()
    database.run(blocks()["bare_settings"].sql, blocks()["bare_insert"].sql)
    with psycopg.connect(database.url) as connection:
        connection.execute("SET LOCAL search_path = bare, public")
        for pair in migration.pairs:
            for statement in pair.old_ddl.blocks["indexes"].statements:
                connection.execute(statement)  # type: ignore[arg-type]
    took = time.perf_counter() - began
    database.run(blocks()["bare_drop"].sql)
    return took


def _checksums(database: Database, sample: Sample) -> None:
    """The shadow is there: checksum against count(*), exact comparison against the FULL JOIN by hand."""
    session = connect(database.url, "aicfg_pipeline bench")
    try:
        state = look(session, spec.load())[OLD]
        source = shadow_source(session, state)
        with session.transaction(snapshot=True, read_only=True, search_path=("public",)):
            checksum = _best(lambda: fingerprint.take(session, private(OLD), source.columns, hashable=True))
            exact = _best(
                lambda: fingerprint.differences(
                    session, source.query, private(OLD), source.columns, ("id",), log=private(state.pair.change_log)
                ),
                1,
            )
    finally:
        session.close()
    with psycopg.connect(database.url, autocommit=True) as connection:
        count = _best(lambda: connection.execute(blocks()["count"].sql).fetchone())  # type: ignore[arg-type]
        by_hand = _best(lambda: connection.execute(blocks()["full_join"].sql).fetchone(), 1)  # type: ignore[arg-type]
    sample.pairs["checksum against count(*)"] = (checksum, count)
    sample.pairs["exact comparison against FULL JOIN by hand"] = (exact, by_hand)
    sample.seconds["checksum"] = checksum


def _best(work: Callable[[], object], times: int = 2) -> float:
    """Return the seconds of the fastest of a few runs: both sides with a warm cache."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def _reladiff(database: Database) -> tuple[float, float]:
    """Seconds of reladiff over all columns: joined inside the database, and by checksums of segments."""
    database.run(blocks()["reladiff_source"].sql, blocks()["reladiff_target"].sql)
    took = []
    for algorithm in ("joindiff", "hashdiff"):
        words = ["--algorithm", algorithm, "-c", "%", "-k", "id", "--limit", "10"]
        began = time.perf_counter()
        process = python("-m", "reladiff", database.tcp_url, "bench_source", "bench_target", *words)
        output = process.communicate()[0]
        took.append(time.perf_counter() - began)
        lines = [line for line in output.splitlines() if line.startswith(("+", "-"))]
        if process.returncode or lines:
            raise RuntimeError(f"reladiff --algorithm {algorithm}: {output[-2000:]}")
    database.run(blocks()["reladiff_drop"].sql)
    return took[0], took[1]


# --- Dagster and memory ----------------------------------------------------------------------------------------


def dagster(server: Server, ops: int) -> Sample:
    """`dagster job execute -j rollback` on the demo against a job with as many ops that do nothing."""
    with server.database(400) as database:
        began = time.perf_counter()
        _rolled_back(database)
        ours = time.perf_counter() - began
    with tempfile.TemporaryDirectory(prefix="aicfg-bench-") as folder:
        began = time.perf_counter()
        words = ("-m", "dagster", "job", "execute", "-m", "benchmarks.empty_job", "-j", "empty")
        process = python(*words, environment={"DAGSTER_HOME": folder, "BENCH_OPS": str(ops)})
        output = process.communicate()[0]
        empty = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(output)
    return Sample({"dagster job execute -j rollback": (ours, empty)})


def ops_of_rollback() -> int:
    """Return how many ops the job has, so that the empty job can be held to it."""
    from aicfg_pipeline.definitions import defs

    return len(defs.get_job_def("rollback").graph.nodes)


def memory(server: Server, rows: int) -> float:
    """Peak memory in MiB of the process that runs the whole job, with export and drop."""
    with server.database(rows) as database:
        return _rolled_back(database, retain_days=0)


def _rolled_back(database: Database, **config: object) -> float:
    with tempfile.TemporaryDirectory(prefix="aicfg-bench-") as folder:
        file = Path(folder) / "run.yaml"
        file.write_text(yaml.safe_dump({"confirm_database": database.name, **config}), encoding="utf-8")
        environment = {"AICFG_DATABASE_URL": database.url, "AICFG_HOME": folder, "DAGSTER_HOME": folder}
        words = (
            "-m",
            "dagster",
            "job",
            "execute",
            "-m",
            "aicfg_pipeline.definitions",
            "-j",
            "rollback",
            "-c",
            str(file),
        )
        process = python(*words, environment=environment)
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(output[-4000:])
        return used.ru_maxrss / 1024


def version_of_reladiff() -> str | None:
    """Return reladiff's version, or None where it is not installed."""
    process = python("-m", "reladiff", "--version")
    output = process.communicate()[0]
    return output.strip() if process.returncode == 0 else None
