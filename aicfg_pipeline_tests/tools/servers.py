"""Real PostgreSQL servers for the tests, one for each version there is, and databases cloned from templates on them.

A server is made when the first test asks for it and stopped at the end of the session; with xdist each worker has
its own. Which tests run on which versions is decided in conftest.py, not here.
"""

from __future__ import annotations

import itertools
import re
import shutil
import socket
import subprocess
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from aicfg_pipeline.embedded.cluster import SUPERUSER, Cluster
from aicfg_pipeline.embedded.database import OWNER, fill_demo
from aicfg_pipeline.embedded.programs import wheel_binaries
from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline_tests.tools import fetched

DEFAULT_VERSION = 18
PASSWORD = "Sup3r-secret!"
ORGANISATIONS = 40
# Every version that the tests know how to find; conftest's header line and skips tell which of them are missing here.
KNOWN_VERSIONS = (14, 15, 16, 17, 18)
DEBIAN = Path("/usr/lib/postgresql")

FASTER = {"fsync": "off", "full_page_writes": "off", "max_connections": "200", "max_wal_size": "256MB"}
# What `row::text` depends on.
PINNED = "-c TimeZone=UTC -c DateStyle=ISO,MDY -c IntervalStyle=postgres -c extra_float_digits=1 -c bytea_output=hex"


@cache
def available() -> dict[int, Path]:
    """Return the `bin` folder of each known server version that is here: the wheel's, then Debian's, then npm's."""
    found = fetched.binaries()
    found |= {v: folder for v in KNOWN_VERSIONS if (folder := DEBIAN / str(v) / "bin").exists()}
    found |= wheel_binaries()
    return {version: folder for version, folder in sorted(found.items()) if (folder / "initdb").exists()}


def origin(version: int) -> str:
    """Return where the programs of `version` come from."""
    folder = available()[version]
    if folder.is_relative_to(fetched.CACHE):
        return "npm"
    return "Debian" if folder.is_relative_to(DEBIAN) else "wheel"


def missing(version: int) -> str | None:
    """Return why there is no server of `version`, or None if there is one."""
    if version in available():
        return None
    here = f"PostgreSQL {version} is not here (no {DEBIAN / str(version)}/bin"
    return f"{here}; {fetched.why_not(version)})" if version in fetched.FETCHED else f"{here})"


def free_port() -> int:
    """Return a TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pg_dump(version: int) -> Path:
    """Return the newest pg_dump, which must not be older than the server."""
    newest = max(v for v, folder in available().items() if (folder / "pg_dump").exists())
    assert newest >= version, f"pg_dump {newest} can't dump a server of version {version}"
    return available()[newest] / "pg_dump"


def psql(version: int) -> Path:
    """Return the psql of this version, or another where it has none."""
    folders = [available()[version], *available().values()]
    return next(folder / "psql" for folder in folders if (folder / "psql").exists())


@dataclass
class Database:
    """One database of a test, and what tests do with it."""

    url: str  # as `postgres`: what the pipeline is given
    admin_url: str  # as superuser, for what `postgres` may not do
    name: str
    cluster: Cluster
    _open: list[psycopg.Connection] = field(default_factory=list, repr=False)

    @property
    def tcp_url(self) -> str:
        """The same as `url` over TCP, with the password."""
        return self.cluster.tcp_url(OWNER, self.name, PASSWORD)

    def connect(self, **kwargs: Any) -> psycopg.Connection:
        """Return a new autocommit connection as `postgres`; it is closed with the database at the latest."""
        return self._connect(self.url, **kwargs)

    def admin(self, **kwargs: Any) -> psycopg.Connection:
        """Return a new autocommit connection as superuser."""
        return self._connect(self.admin_url, **kwargs)

    def query(self, query: str, params: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as `postgres` on a connection of its own and return its rows, if it has any."""
        with psycopg.connect(self.url, autocommit=True, options=PINNED) as connection:
            cursor = connection.execute(query, params)
            return cursor.fetchall() if cursor.description else []

    def execute(self, script: str) -> None:
        """Run a script of statements as `postgres`, each on its own unless it says BEGIN."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(script)

    def dump(self, *tables: str) -> str:
        """Return pg_dump's text of the tables (structure and rows), of all there is if none is named."""
        return self._dump(*(f"--table={table}" for table in tables))

    def schema_dump(self, *tables: str) -> str:
        """Return pg_dump's text of the structure only, of the tables or of all there is."""
        return self._dump("--schema-only", *(f"--table={table}" for table in tables))

    def fingerprints(self, schemas: Sequence[str] = ("public", "auth")) -> dict[str, tuple[int, int]]:
        """Return count and checksum of every table: equal if and only if they have the same rows."""
        with psycopg.connect(self.admin_url, options=PINNED) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            tables = connection.execute(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%s) ORDER BY 1, 2",
                (list(schemas),),
            ).fetchall()
            return {f"{schema}.{table}": self._fingerprint(connection, schema, table) for schema, table in tables}

    def exists(self, name: str) -> str | None:
        """Return the kind of relation `name` is (`r` table, `v` view …), or None if there is none."""
        found = self.query("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", (name,))
        return str(found[0][0]) if found else None

    def close(self) -> None:
        """Close the connections that the test left open."""
        while self._open:
            self._open.pop().close()

    def _connect(self, url: str, **kwargs: Any) -> psycopg.Connection:
        connection: psycopg.Connection = psycopg.connect(url, **{"autocommit": True, **kwargs})
        self._open.append(connection)
        return connection

    def _dump(self, *options: str) -> str:
        command = [str(pg_dump(self.cluster.version)), *options, f"--dbname={self.admin_url}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return normalised(done.stdout)

    @staticmethod
    def _fingerprint(connection: psycopg.Connection, schema: str, table: str) -> tuple[int, int]:
        query = sql.SQL(
            "SELECT count(*), coalesce(sum(hashtextextended(row_::text, 0)::numeric), 0) FROM {} AS row_"
        ).format(sql.Identifier(schema, table))
        count, checksum = connection.execute(query).fetchone()  # type: ignore[misc]
        return int(count), int(checksum)


def normalised(dump: str) -> str:
    """Drop what differs between two dumps of the same: comments, \\restrict keys, runs of blank lines.

    Some 15.x packages stamp each column with a `pg_attver` of their own that is new for every table made.
    """
    noise = r"--|\\(un)?restrict\b|ALTER TABLE ONLY .* SET \(pg_attver=\d+\);$"
    lines = [line for line in dump.splitlines() if not re.match(noise, line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


EVERYWHERE = ("postgres", "anon", "authenticated", "service_role", "authenticator", SUPERUSER)
"""The roles that a database is filled with: they stay what they are."""


class Server:
    """One running server and the templates on it."""

    def __init__(self, cluster: Cluster, version: int) -> None:
        self.cluster = cluster
        self.version = version
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()
        self._members: dict[str, set[tuple[str, str]]] = {}

    def __repr__(self) -> str:
        return f"Server({self.version})"

    @contextmanager
    def database(
        self, template: str, fill: Callable[[Database], None], parent: str | None = None
    ) -> Iterator[Database]:
        """Give a database cloned from `template`, which is made first (from `parent`, by `fill`) if it is missing."""
        self.template(template, fill, parent)
        database = self.create(f"{template}_{next(self._numbers)}", template)
        try:
            yield database
        finally:
            self.drop(database)

    @contextmanager
    def copy(self, database: Database) -> Iterator[Database]:
        """Give a copy of a database as it is now; nobody may be connected to it."""
        database.close()
        copied = self.create(f"copy_{next(self._numbers)}", database.name)
        try:
            yield copied
        finally:
            self.drop(copied)

    def template(self, name: str, fill: Callable[[Database], None], parent: str | None = None) -> None:
        """Make the template `name` unless it is there: cloned from `parent` and filled by `fill`."""
        if name in self._templates:
            return
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        database = self.create(name, parent)
        try:
            fill(database)
        finally:
            database.close()
        # A template that somebody is connected to can't be cloned.
        self._execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        with self._maintenance() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
        self._templates.add(name)

    def create(self, name: str, template: str | None = None) -> Database:
        """Create a database, empty or as a clone."""
        self._members[name] = self._memberships()
        owned = " OWNER postgres" if template else ""  # an empty one gets its owner with the roles
        self._execute("CREATE DATABASE {} TEMPLATE {}" + owned, name, template or "template1")
        return Database(self.cluster.url(OWNER, name), self.cluster.url(SUPERUSER, name), name, self.cluster)

    def drop(self, database: Database) -> None:
        """Drop a database, whoever is still connected to it, and who has become whose member while it was there.

        Roles belong to the server: a test that follows would find them in the facts of a template that was made before.
        """
        database.close()
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.name)
        for role, member in self._memberships() - self._members.pop(database.name, set()):
            self._execute("REVOKE {} FROM {}", role, member)

    def _memberships(self) -> set[tuple[str, str]]:
        """Return who is whose member, but for the roles that every database of the demo has."""
        with self._maintenance() as connection:
            rows = connection.execute(
                "SELECT g.rolname, m.rolname FROM pg_auth_members a JOIN pg_roles g ON g.oid = roleid"
                " JOIN pg_roles m ON m.oid = member WHERE m.rolname <> ALL (%s) AND m.rolname NOT LIKE 'pg\\_%%'",
                (list(EVERYWHERE),),
            )
            return set(rows.fetchall())

    def _execute(self, statement: str, *names: str) -> None:
        with self._maintenance() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _maintenance(self) -> psycopg.Connection:
        return psycopg.connect(self.cluster.url(SUPERUSER, "postgres"), autocommit=True)


class Servers:
    """The servers of this session, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._servers: dict[int, Server] = {}

    def get(self, version: int = DEFAULT_VERSION) -> Server:
        """Return the running server of `version`."""
        if version not in self._servers:
            self._servers[version] = self._start(version)
        server = self._servers[version]
        server.cluster.start()  # a test may have killed it
        return server

    def stop(self) -> None:
        """Stop and remove all of them."""
        for server in self._servers.values():
            server.cluster.stop("immediate")  # nobody needs what is in it
            self._report_crashes(server)
            shutil.rmtree(server.cluster.data_dir, ignore_errors=True)
        self._servers.clear()

    @staticmethod
    def _report_crashes(server: Server) -> None:
        # A server that crashed comes back by itself; whoever reads a failed test must know that it did.
        log = server.cluster.log_file.read_text(errors="replace").splitlines()
        for number, line in enumerate(log):
            if re.search(r"PANIC|was terminated by signal|exited with exit code [^01]", line):
                warnings.warn("\n".join([f"{server!r} crashed:", *log[max(0, number - 5) : number + 5]]), stacklevel=2)

    def _start(self, version: int) -> Server:
        for attempt in range(1, 4):
            port = free_port()
            cluster = Cluster(available()[version], self.folder / f"pg{version}", settings=FASTER, tcp_port=port)
            cluster.initialise()
            try:
                cluster.start()
                break
            except DatabaseError:  # somebody was faster at the port
                if attempt == 3:
                    raise
        server = Server(cluster, version)
        with psycopg.connect(cluster.url(SUPERUSER, "template1"), autocommit=True) as connection:
            # surroundings.sql leaves roles alone that are there; this one only has to have a password first.
            connection.execute("CREATE ROLE postgres LOGIN CREATEROLE CREATEDB BYPASSRLS")
            connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(PASSWORD)))
        return server


def fill_old(database: Database) -> None:
    """Fill a template with Supabase's surroundings, the old tables and their rows."""
    fill_demo(database.admin_url, database.url, ORGANISATIONS)


def fill_migrated(database: Database) -> None:
    """Run the forward migration on a copy of the old template."""
    from aicfg_pipeline_tests.tools.migration import migrate_forward

    migrate_forward(database.url)
