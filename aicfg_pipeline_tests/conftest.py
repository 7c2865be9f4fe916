"""Fixtures for all tests: real servers of several versions, and a database of its own for each test that wants one.

Tests run on PostgreSQL 18; those marked `every_version` run once on each version there is; costly ones leave some out by
`every_version(without=…)`. A version that is not installed shows as skips and in pytest's header and summary. How servers
and databases are made is in tools/servers.py.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from aicfg_pipeline_tests.tools import servers as tools
from aicfg_pipeline_tests.tools.servers import Database, Server, Servers


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    _own_folder(config)
    config.addinivalue_line("markers", "every_version(without=()): runs on every PostgreSQL version there is")
    config.addinivalue_line("markers", "slow: takes more than about ten seconds")


def _own_folder(config: pytest.Config) -> None:
    """Give the session a folder of its own: each start of pytest closes the shared one (0700) for the servers' user."""
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="aicfg-tests-"))
        config.option.basetemp = str(folder / "session")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def _versions() -> list[str]:
    run = [f"{version} ({tools.origin(version)})" for version in tools.available()]
    lines = [f"PostgreSQL servers: {', '.join(run) or 'none'}"]
    return lines + [f"NOT RUN: {reason}" for version in tools.KNOWN_VERSIONS if (reason := tools.missing(version))]


def pytest_report_header() -> list[str]:
    return _versions()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # pytest -q has no header, and a version that was not tried must be seen all the same.
    for line in _versions():
        terminalreporter.write_line(line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("every_version")
    left_out = marker.kwargs.get("without", ()) if marker else ()
    versions = [v for v in tools.KNOWN_VERSIONS if v not in left_out] if marker else [tools.DEFAULT_VERSION]
    metafunc.parametrize("server", [_parameter(v) for v in versions], indirect=True, scope="session")


def _parameter(version: int) -> object:
    reason = tools.missing(version)
    marks = [pytest.mark.skip(reason=reason)] if reason else []
    return pytest.param(version, id=f"pg{version}", marks=marks)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers of this session (of this worker, with xdist)."""
    found = Servers(tmp_path_factory.mktemp("servers"))
    yield found
    found.stop()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """The server that the test runs on: version 18, or each in turn for tests marked `every_version`."""
    return servers.get(getattr(request, "param", tools.DEFAULT_VERSION))


@pytest.fixture
def running_server(server: Server) -> Server:
    """The same, started again if the test before has killed it."""
    server.cluster.start()
    return server


@pytest.fixture
def empty_database(running_server: Server) -> Iterator[Database]:
    """Supabase's surroundings are not in it: nothing is."""
    with running_server.database("empty", lambda _: None) as database:
        yield database


@pytest.fixture
def plain_database(empty_database: Database) -> Database:
    """A database with nothing in it but a schema that `postgres` may make tables in."""
    empty_database.admin().execute(
        f"ALTER DATABASE {empty_database.name} OWNER TO postgres; ALTER SCHEMA public OWNER TO postgres"
    )
    return empty_database


@pytest.fixture
def old_database(running_server: Server) -> Iterator[Database]:
    """Surroundings, old tables and 40 organisations, before the migration."""
    with running_server.database("old", tools.fill_old) as database:
        yield database


@pytest.fixture
def migrated_database(running_server: Server) -> Iterator[Database]:
    """The same after the forward migration."""
    running_server.template("old", tools.fill_old)
    with running_server.database("migrated", tools.fill_migrated, parent="old") as database:
        yield database


@pytest.fixture
def cut_over_database(running_server: Server) -> Iterator[Database]:
    """The same after the cut-over: the old tables are in use, the new ones parked."""
    with _cut_over(running_server) as database:
        yield database


@pytest.fixture
def dropped_database(running_server: Server) -> Iterator[Database]:
    """The same after the drop: only the ledger is left."""
    from aicfg_pipeline_tests.tools import restored

    with _cut_over(running_server):
        pass
    with running_server.database("dropped", restored.fill_dropped, parent="cut_over") as database:
        yield database


def _cut_over(server: Server) -> AbstractContextManager[Database]:
    from aicfg_pipeline_tests.tools import restored

    server.template("old", tools.fill_old)
    server.template("migrated", tools.fill_migrated, parent="old")
    return server.database("cut_over", restored.fill_cut_over, parent="migrated")
