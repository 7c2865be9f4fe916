"""The embedded server's databases: the demo's, filled in the migrated state, and Dagster's own.

Running the server is `cluster`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from aicfg_pipeline.embedded.cluster import NO_SETTINGS, SUPERUSER, Cluster
from aicfg_pipeline.embedded.programs import wheel_binaries
from aicfg_pipeline.embedded.system import file_lock
from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.spec.load import bundled_sql

OWNER = "postgres"


DEMO_DATABASE = "demo"


FORMER_DEMO_DATABASE = "app"
"""What it was called in earlier homes: a name that a production database may well have."""


DAGSTER_DATABASE = "dagster"


EMBEDDED_VERSION = 18


@dataclass(frozen=True)
class EmbeddedDatabase:
    """The embedded server with its demo database, ready for connections."""

    url: str  # the demo database as `postgres`: what the pipeline uses
    admin_url: str  # the same as superuser
    dagster_url: str  # where Dagster keeps runs and events
    cluster: Cluster
    created: bool  # whether the demo database was made by this very call


def fill_demo(admin_url: str, url: str, organisations: int = 400) -> None:
    """Fill an empty database: Supabase's surroundings, the old tables, and rows for `organisations` of them.

    `admin_url` is the database as superuser and `url` as `postgres`, who owns what Supabase's users own.
    """
    folder = bundled_sql()
    with psycopg.connect(admin_url) as connection:
        _run_file(connection, folder / "demo" / "surroundings.sql")
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = public")
        for file in sorted((folder / "old").glob("*.sql")):
            _run_file(connection, file)
        connection.execute("SELECT set_config('aicfg.organisations', %s, false)", (str(organisations),))
        _run_file(connection, folder / "demo" / "rows.sql")


def ensure_embedded(
    home: Path,
    *,
    organisations: int = 400,
    after_fill: Callable[[str], None] | None = None,
    settings: Mapping[str, str] = NO_SETTINGS,
) -> EmbeddedDatabase:
    """Start the embedded server under `home`, unless it runs, and make what it should hold, unless that is there.

    `after_fill` is called once in the life of the demo database, with its URL, after it was filled. Until that has
    returned, the database goes by another name: a first start that was killed or failed is simply made again.
    """
    home = Path(home).resolve()
    home.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(wheel_binaries()[EMBEDDED_VERSION], home / "postgres", settings=settings)
    with file_lock(home / ".setup.lock"):
        cluster.initialise()
        cluster.start()
        try:
            created = _ensure_databases(cluster, organisations, after_fill)
        except psycopg.Error as error:
            raise DatabaseError(
                f"The demo database could not be made: {error}",
                remedy=f"Read {cluster.log_file} and start again; an unfinished database is made anew.",
            ) from error
    return EmbeddedDatabase(
        url=cluster.url(OWNER, DEMO_DATABASE),
        admin_url=cluster.url(SUPERUSER, DEMO_DATABASE),
        dagster_url=cluster.url(SUPERUSER, DAGSTER_DATABASE),
        cluster=cluster,
        created=created,
    )


def embedded_runs(home: Path) -> bool:
    """Whether the embedded server of this home runs."""
    folder = Path(home).resolve() / "postgres"
    return folder.exists() and Cluster(wheel_binaries()[EMBEDDED_VERSION], folder).running


def stop_embedded(home: Path) -> None:
    """Stop the embedded server under `home`; do nothing if there is none or it does not run."""
    data_dir = Path(home).resolve() / "postgres"
    if data_dir.exists():
        Cluster(wheel_binaries()[EMBEDDED_VERSION], data_dir).stop()


def _ensure_databases(cluster: Cluster, organisations: int, after_fill: Callable[[str], None] | None) -> bool:
    """Make the databases that are missing; return whether the demo database was one of them."""
    with psycopg.connect(cluster.url(SUPERUSER, "postgres"), autocommit=True) as server:
        there = {str(name) for (name,) in server.execute("SELECT datname FROM pg_database")}
        if DAGSTER_DATABASE not in there:
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DAGSTER_DATABASE)))
        if DEMO_DATABASE not in there and FORMER_DEMO_DATABASE in there:
            _take_over_former(server)
            return False
        if DEMO_DATABASE in there:
            return False
        unfinished = f"{DEMO_DATABASE}_unfinished"
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(unfinished)))
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished)))
        url = cluster.url(OWNER, unfinished)
        fill_demo(cluster.url(SUPERUSER, unfinished), url, organisations)
        if after_fill is not None:
            after_fill(url)
        # A database that is in use can't be renamed, and whoever filled it may still be about to hang up.
        server.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (unfinished,)
        )
        server.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(unfinished), sql.Identifier(DEMO_DATABASE))
        )
    return True


def _take_over_former(server: psycopg.Connection) -> None:
    """Give the demo database of an earlier version the name it has today. Raises `DatabaseError` while it is in use."""
    former, name = sql.Identifier(FORMER_DEMO_DATABASE), sql.Identifier(DEMO_DATABASE)
    try:
        server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(former, name))
    except psycopg.errors.ObjectInUse as error:
        raise DatabaseError(
            f"The demo database of an earlier version, {FORMER_DEMO_DATABASE}, is to be called {DEMO_DATABASE} now, and"
            " somebody is connected to it.",
            expected="no session in that database for a moment",
            remedy="End what works with it (make clean ends all of the demo), then start again.",
        ) from error


def _run_file(connection: psycopg.Connection, file: Path) -> None:
    try:
        connection.execute(file.read_bytes())
    except psycopg.Error as error:
        raise DatabaseError(
            f"The demo database could not be filled: {file} failed: {error}",
            remedy="Mend the file and start again; the unfinished database is made anew.",
        ) from error
