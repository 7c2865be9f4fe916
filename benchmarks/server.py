"""The server that is measured: its own data directory, fsync on, databases cloned from a migrated one of each size."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql

from aicfg_pipeline.embedded.cluster import SUPERUSER, Cluster
from aicfg_pipeline.embedded.database import OWNER, fill_demo
from aicfg_pipeline.embedded.programs import wheel_binaries
from aicfg_pipeline.orchestration.home import migrate_demo
from aicfg_pipeline.spec.blocks import Block, load_blocks
from aicfg_pipeline.spec.load import bundled_sql

PASSWORD = "bench"  # noqa: S105 - of a server that lives as long as the benchmark
VERSION = 18
ORGANISATIONS = 400  # the demo's; the rest comes from bulk_rows.sql
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "60",
    "log_min_duration_statement": "5ms",
    "log_line_prefix": "%n %a %d|",  # when in seconds, who, where
    "log_parameter_max_length": "0",
}
WRITER = "bench-writer"
_SLOW = re.compile(r"(?P<at>[\d.]+) (?P<who>\S+) (?P<where>\S+)\|LOG:  duration: (?P<ms>[\d.]+) ms")
HERE = Path(__file__).parent
PROJECT = HERE.parent


def blocks() -> dict[str, Block]:
    """Return the benchmark's own statements by name."""
    return dict(load_blocks(HERE / "sql" / "bench.sql", "benchmarks/sql/bench.sql"))


@dataclass(frozen=True)
class Database:
    """One database to measure in."""

    name: str
    url: str  # as `postgres`, over the Unix socket
    admin_url: str
    tcp_url: str  # for tools that know nothing else

    def scalar(self, query: str, params: dict[str, object] | None = None) -> object:
        """Run one statement on a connection of its own and return its first value."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            row = connection.execute(query, params).fetchone()  # type: ignore[arg-type]
            return row[0] if row else None

    def run(self, *queries: str) -> None:
        """Run statements as `postgres`, each on its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for query in queries:
                connection.execute(query)  # type: ignore[arg-type]


class Server:
    """Context manager: a running server in a temporary folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._numbers = itertools.count(1)
        self._folder = Path(tempfile.mkdtemp(prefix="aicfg-bench-", dir=folder))
        self.binaries = wheel_binaries()[VERSION]
        self.cluster = Cluster(self.binaries, self._folder / "pg", settings=SETTINGS, tcp_port=_free_port())
        self._templates: set[str] = set()

    def __enter__(self) -> Server:
        self.cluster.initialise()
        self.cluster.start()
        with self._maintenance("template1") as connection:
            connection.execute("CREATE ROLE postgres LOGIN CREATEROLE CREATEDB BYPASSRLS")
            connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(PASSWORD)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cluster.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def settings(self) -> dict[str, str]:
        """Return the settings that decide how fast it is."""
        with self._maintenance() as connection:
            return {str(n): str(v) for n, v in connection.execute(blocks()["settings"].sql)}  # type: ignore[arg-type]

    def template(self, rows: int) -> str:
        """Make a migrated database with `rows` organisations, unless it is there; return its name."""
        name = f"migrated_{rows}"
        if name in self._templates:
            return name
        self._execute("CREATE DATABASE {}", name)
        admin_url, url = self.cluster.url(SUPERUSER, name), self.cluster.url(OWNER, name)
        fill_demo(admin_url, url, min(rows, ORGANISATIONS))
        if rows > ORGANISATIONS:
            with psycopg.connect(admin_url) as connection:
                connection.execute("SET search_path = public")
                connection.execute("SELECT set_config('aicfg.organisations', %s, false)", (str(rows),))
                connection.execute((bundled_sql() / "demo" / "bulk_rows.sql").read_bytes())
        migrate_demo(url)
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
        self._hang_up(name)
        self._templates.add(name)
        return name

    @contextmanager
    def database(self, rows: int) -> Iterator[Database]:
        """A fresh clone of the migrated database of that size, checkpointed, dropped afterwards."""
        template = self.template(rows)
        name = f"bench_{next(self._numbers)}"
        self._hang_up(template)
        with self._maintenance() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY OWNER postgres").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
            connection.execute("CHECKPOINT")
        database = Database(
            name,
            self.cluster.url(OWNER, name),
            self.cluster.url(SUPERUSER, name),
            self.cluster.tcp_url(OWNER, name, PASSWORD),
        )
        # into the cache: what is measured is the pipeline, not the first read of a copied file
        database.scalar("SELECT count(*) FROM public.ai_cfg_org_prompts WHERE length(custom_system_prompt) > 3000")
        database.scalar("SELECT count(*) FROM public.orgs")
        try:
            yield database
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def longest_statement(self, database: Database, began: float, ended: float) -> float:
        """Return the longest that a writer's message took in the server, in milliseconds; 5 where none took longer.

        From the message's arrival to its answer, waiting for locks and for the disk included. What is not in it is the
        time that the writer's own process was waiting for a processor.
        """
        longest = 5.0
        with self.cluster.log_file.open(encoding="utf-8", errors="replace") as lines:
            for found in map(_SLOW.match, lines):
                if found and (found["who"], found["where"]) == (WRITER, database.name):
                    until, took = float(found["at"]), float(found["ms"])
                    if until >= began and until - took / 1000 <= ended:
                        longest = max(longest, took)
        return longest

    def psql(self, url: str, file: Path) -> subprocess.CompletedProcess[str]:
        """Run a file in psql as a person does; raises where it fails."""
        program = shutil.which("psql") or str(self.binaries / "psql")
        words = [program, "-X", "-v", "ON_ERROR_STOP=1", "-f", str(file), url]
        return subprocess.run(words, capture_output=True, text=True, check=True, cwd=PROJECT)

    def _hang_up(self, name: str) -> None:
        with self._maintenance() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
            )

    def _execute(self, statement: str, name: str) -> None:
        with self._maintenance() as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))  # type: ignore[arg-type]

    def _maintenance(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.cluster.url(SUPERUSER, database), autocommit=True)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python(*words: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start this Python with the project in its path; its output is read through a pipe."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AICFG_", "DAGSTER_", "PG"))}
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=PROJECT,
        env={**kept, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
