"""Fixtures for all tests: real servers of several versions, and a database of its own for each test that wants one.

Tests run on PostgreSQL 18; those marked `every_version` run once on each version there is, those marked `two_versions` on
18 and on one other. A version that is not installed shows as skips and in pytest's header and summary. How servers and
databases are made is in tools/servers.py, which other version it is in tools/everything.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from aicfg_pipeline_tests.tools import checkout, session_folder
from aicfg_pipeline_tests.tools import servers as tools
from aicfg_pipeline_tests.tools.everything import EVERYTHING, drawn
from aicfg_pipeline_tests.tools.servers import Database, Server, Servers


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    _own_folder(config)
    config.addinivalue_line("markers", "every_version: what depends on the version; runs on every one there is")
    config.addinivalue_line("markers", "two_versions: runs on 18 and one other; on every one with AICFG_EVERYTHING=1")
    config.addinivalue_line("markers", "slow: takes more than about ten seconds; begun first")


def _own_folder(config: pytest.Config) -> None:
    """Give the session a folder of its own: each start of pytest closes the shared one (0700) for the servers' user."""
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        folder = session_folder.make()
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
    several = any(metafunc.definition.get_closest_marker(m) for m in ("every_version", "two_versions"))
    versions = tools.KNOWN_VERSIONS if several else [tools.DEFAULT_VERSION]
    metafunc.parametrize("server", [_parameter(v) for v in versions], indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)  # or one worker waits for another at the end


def _left_out(item: pytest.Item) -> bool:
    """Whether this is a test for two versions on a third. Each of its parameters draws for itself."""
    if EVERYTHING or not item.get_closest_marker("two_versions") or not isinstance(item, pytest.Function):
        return False
    version = item.callspec.params["server"]
    others = [v for v in tools.available() if v != tools.DEFAULT_VERSION]
    name = item.nodeid.removeprefix("aicfg_pipeline_tests/").replace(f"pg{version}", "")
    return version not in (tools.DEFAULT_VERSION, drawn(name, others))


def _parameter(version: int) -> object:
    reason = tools.missing(version)
    marks = [pytest.mark.skip(reason=reason)] if reason else []
    return pytest.param(version, id=f"pg{version}", marks=marks)


@pytest.fixture(scope="session", autouse=True)
def home_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Reports, exports and what a server said go to a folder of the session, and nothing into the checkout."""
    demo = checkout.of_a_demo()
    before = checkout.files(but=demo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AICFG_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("AICFG_STORE_IS_DURABLE", "1")  # tests write to memory, and say that they know
        yield
    assert checkout.files(but=demo) - before == set(), "tests have written into the checkout"


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
