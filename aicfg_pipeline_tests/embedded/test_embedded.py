"""The embedded server: starts, is found again, survives what happens to servers, and is filled exactly once."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.embedded.cluster import Cluster
from aicfg_pipeline.embedded.database import ensure_embedded, stop_embedded
from aicfg_pipeline.embedded.programs import wheel_binaries
from aicfg_pipeline.errors import ConfigError, DatabaseError
from aicfg_pipeline_tests.tools import servers
from aicfg_pipeline_tests.tools.servers import Database, Server
from aicfg_pipeline_tests.tools.writers import Writers

# Of 40 organisations. They change only with the demo's rows or the old tables' columns and defaults.
PROMPTS_CHECKSUM = -34128296982376776518
SETTINGS_CHECKSUM = 7340577624145683659

OLD_TABLES = ("public.org_prompt_engineering", "public.sys_rag")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop_embedded(tmp_path)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(wheel_binaries()[18], tmp_path / "data", settings=servers.FASTER)
    cluster.initialise()
    yield cluster
    cluster.stop("immediate")


def ask(cluster: Cluster, query: str) -> object:
    with psycopg.connect(cluster.url("supabase_admin", "postgres")) as connection:
        row = connection.execute(query).fetchone()
        return row and row[0]


def in_new_process(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run code in a Python of its own, as `dagster job execute` would be."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def postmaster_pid(cluster: Cluster) -> int:
    return int((cluster.data_dir / "postmaster.pid").read_text().split()[0])


def kill(cluster: Cluster) -> None:
    """Kill the server's first process the hard way, and see it gone."""
    os.kill(postmaster_pid(cluster), signal.SIGKILL)
    while cluster.running:
        time.sleep(0.001)


# --- the cluster --------------------------------------------------------------------------------------------------


def test_start_stop_restart(cluster: Cluster) -> None:
    assert not cluster.running
    cluster.start()
    first = postmaster_pid(cluster)
    cluster.start()
    assert postmaster_pid(cluster) == first, "a second start must leave a running server alone"
    assert cluster.running
    assert ask(cluster, "SELECT current_setting('server_version_num')::int / 10000") == cluster.version == 18
    cluster.restart()
    assert postmaster_pid(cluster) != first
    for mode in ("smart", "fast", "immediate"):
        cluster.stop(mode)
        assert not cluster.running
        cluster.stop()
        cluster.start()
        assert ask(cluster, "SELECT 1") == 1


def test_settings_are_applied_at_each_start(cluster: Cluster) -> None:
    cluster.start()
    assert ask(cluster, "SELECT current_setting('listen_addresses')") == ""
    cluster.settings["cluster_name"] = 'it\'s a \\ "name"'
    cluster.restart()
    assert ask(cluster, "SHOW cluster_name") == cluster.settings["cluster_name"]


def test_survives_sigkill_of_the_postmaster(cluster: Cluster) -> None:
    cluster.start()
    with psycopg.connect(cluster.url("supabase_admin", "postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
    for _ in range(2):
        with contextlib.closing(psycopg.connect(cluster.url("supabase_admin", "postgres"))) as busy:
            busy.execute("SELECT 1")
            kill(cluster)
            cluster.start()  # at once, with a stale pid file and backends that have yet to notice
        assert cluster.running
        assert ask(cluster, "SELECT count(*) FROM kept") == 1


def test_a_stale_pid_that_now_is_another_process_does_not_hinder(cluster: Cluster) -> None:
    cluster.start()
    pid_file = cluster.data_dir / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    kill(cluster)
    with subprocess.Popen(["sleep", "60"], user=cluster.data_dir.stat().st_uid) as other:
        try:
            pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
            assert not cluster.running
            cluster.start()
            assert ask(cluster, "SELECT 1") == 1
        finally:
            other.kill()


def test_two_processes_start_it_at_once(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from aicfg_pipeline.embedded.cluster import Cluster
        cluster = Cluster(Path(sys.argv[1]), Path(sys.argv[2]), settings={"fsync": "off"})
        cluster.initialise()
        cluster.start()
        print((cluster.data_dir / "postmaster.pid").read_text().split()[0])
    """
    cluster = Cluster(wheel_binaries()[18], tmp_path / "data")
    try:
        starters = [in_new_process(code, cluster.bin_dir, cluster.data_dir) for _ in range(3)]
        answers = [starter.communicate(timeout=60) for starter in starters]
        assert [starter.returncode for starter in starters] == [0, 0, 0], answers
        assert len({out for out, _ in answers}) == 1, "all three found the same server"
        assert cluster.running, "the server outlives the processes that started it"
    finally:
        cluster.stop("immediate")


def test_a_killed_initdb_is_made_again(tmp_path: Path) -> None:
    cluster = Cluster(wheel_binaries()[18], tmp_path / "data", settings=servers.FASTER)
    unfinished = tmp_path / ".data.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    assert not cluster.initialised
    cluster.initialise()
    assert cluster.initialised
    assert not unfinished.exists()


def test_a_long_path_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    cluster = Cluster(wheel_binaries()[18], tmp_path / ("x" * 60) / ("ü" * 60) / "data", settings=servers.FASTER)
    cluster.initialise()
    try:
        cluster.start()
        assert cluster.socket_dir != cluster.data_dir
        assert cluster.socket_dir.stat().st_mode & 0o077 == 0
        assert ask(cluster, "SELECT 1") == 1
        shutil.rmtree(cluster.socket_dir)  # as a cleaner of temporary folders does
        cluster.start()
        assert ask(cluster, "SELECT 1") == 1
    finally:
        folder = cluster.socket_dir
        cluster.stop("immediate")
    assert not folder.exists(), "nothing is left in the temporary folder"


def test_awkward_names_in_the_path(tmp_path: Path) -> None:
    cluster = Cluster(wheel_binaries()[18], tmp_path / 'it\'s, a "b" \\ %2F?&=#', settings=servers.FASTER)
    cluster.initialise()
    try:
        cluster.start()
        assert ask(cluster, "SELECT 1") == 1
    finally:
        cluster.stop("immediate")


def test_the_callers_environment_does_not_leak_in(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    cluster.start()
    monkeypatch.undo()
    assert ask(cluster, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_as_root_closed_folders_get_the_one_missing_permission(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    beside = tmp_path / "beside"
    beside.mkdir(mode=0o700)
    cluster = Cluster(wheel_binaries()[18], closed / "inner" / "data", settings=servers.FASTER)
    cluster.initialise()
    try:
        cluster.start()
        assert closed.stat().st_mode & 0o777 == 0o701
        assert beside.stat().st_mode & 0o777 == 0o700
        assert cluster.data_dir.stat().st_mode & 0o777 == 0o700
        assert cluster.data_dir.stat().st_uid != 0
    finally:
        cluster.stop("immediate")


def test_a_server_that_does_not_start_says_why(cluster: Cluster) -> None:
    cluster.settings["shared_buffers"] = "nonsense"
    with pytest.raises(DatabaseError, match=r"(?s)did not start.*shared_buffers.*What to do"):
        cluster.start()
    del cluster.settings["shared_buffers"]
    cluster.start()


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("years of work")
    cluster = Cluster(wheel_binaries()[18], tmp_path / "data")
    with pytest.raises(ConfigError, match="not a PostgreSQL data directory"):
        cluster.initialise()
    assert (tmp_path / "data" / "thesis.txt").read_text() == "years of work"


def test_a_data_directory_of_another_version_is_refused(cluster: Cluster) -> None:
    other = Cluster(wheel_binaries()[16], cluster.data_dir)
    with pytest.raises(ConfigError, match="was made by PostgreSQL 18"):
        other.start()


# --- the demo -----------------------------------------------------------------------------------------------------


def test_first_start_fills_and_the_next_finds(home: Path) -> None:
    calls: list[str] = []
    first = ensure_embedded(home, organisations=20, after_fill=calls.append, settings=servers.FASTER)
    second = ensure_embedded(home, organisations=99, after_fill=calls.append)
    assert (first.created, second.created, len(calls)) == (True, False, 1)
    assert (second.url, second.admin_url, second.dagster_url) == (first.url, first.admin_url, first.dagster_url)
    for url, expected in (
        (first.url, ("demo", "postgres")),
        (first.admin_url, ("demo", "supabase_admin")),
        (first.dagster_url, ("dagster", "supabase_admin")),
    ):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_database(), current_user").fetchone() == expected
    stop_embedded(home)
    stop_embedded(home)
    assert not first.cluster.running
    assert not ensure_embedded(home).created


def test_the_demo_of_an_earlier_version_is_taken_over_under_its_new_name(home: Path) -> None:
    """A1: a database called app is what a production database may be called too."""
    made = ensure_embedded(home, organisations=1, settings=servers.FASTER)
    with psycopg.connect(made.cluster.url("supabase_admin", "postgres"), autocommit=True) as server:
        server.execute("ALTER DATABASE demo RENAME TO app")
    before = made.url.replace("/demo", "/app")
    with psycopg.connect(before) as connection:
        with pytest.raises(DatabaseError, match="is to be called demo now, and somebody is connected"):
            ensure_embedded(home)
        rows = connection.execute("SELECT count(*) FROM orgs").fetchone()
    found = ensure_embedded(home)
    assert not found.created
    with psycopg.connect(found.url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("demo",)
        assert connection.execute("SELECT count(*) FROM orgs").fetchone() == rows


def test_dagsters_driver_understands_the_url(home: Path) -> None:
    import sqlalchemy

    database = ensure_embedded(home, organisations=1, settings=servers.FASTER)
    engine = sqlalchemy.create_engine(database.dagster_url)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT current_database()")).scalar() == "dagster"
    engine.dispose()


def test_a_failed_first_start_is_made_again(home: Path) -> None:
    def fails(url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE public.half_done ()")
        raise RuntimeError("the forward migration failed")

    with pytest.raises(RuntimeError, match="forward migration"):
        ensure_embedded(home, organisations=5, after_fill=fails, settings=servers.FASTER)
    left_open: list[psycopg.Connection] = []
    database = ensure_embedded(home, organisations=5, after_fill=lambda url: left_open.append(psycopg.connect(url)))
    assert database.created
    with psycopg.connect(database.url) as connection:
        assert connection.execute("SELECT to_regclass('public.half_done'), count(*) FROM orgs").fetchone() == (None, 5)


def test_a_killed_first_start_is_made_again_while_another_waits(home: Path) -> None:
    code = """
        import sys, time
        from pathlib import Path
        from aicfg_pipeline.embedded.database import ensure_embedded
        def slow(url):
            print("filled", flush=True)
            time.sleep(float(sys.argv[2]))
        print(ensure_embedded(Path(sys.argv[1]), organisations=7, after_fill=slow).created)
    """
    killed = in_new_process(code, home, 60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "filled\n"
    others = [in_new_process(code, home, 0) for _ in range(2)]  # they wait for the first
    time.sleep(0.3)
    killed.kill()
    killed.communicate()
    answers = [other.communicate(timeout=60) for other in others]
    assert sorted(out for out, _ in answers) == ["False\n", "filled\nTrue\n"], answers


# --- what is in it ------------------------------------------------------------------------------------------------


@pytest.mark.two_versions
def test_the_pipelines_role_is_what_it_is_on_supabase(old_database: Database, server: Server) -> None:
    assert server.cluster.version == server.version
    assert old_database.query(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin"
        " FROM pg_roles WHERE rolname = 'postgres'"
    ) == [(False, True, True, True, True)]
    assert old_database.query(
        "SELECT rolname, rolcanlogin, rolbypassrls FROM pg_roles"
        " WHERE rolname IN ('anon', 'authenticated', 'service_role') ORDER BY 1"
    ) == [("anon", False, False), ("authenticated", False, False), ("service_role", False, True)]
    with old_database.connect() as connection:
        for role in ("anon", "authenticated", "service_role"):
            connection.execute(f"SET ROLE {role}")
            assert connection.execute("SELECT current_user").fetchone() == (role,)
            connection.execute("RESET ROLE")
        connection.execute("CREATE SCHEMA ours")
        connection.execute("CREATE TABLE public.t (u uuid REFERENCES auth.users (id), n int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE auth.t ()")
    owners = old_database.query("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [("postgres",)]


@pytest.mark.two_versions
def test_row_level_security_does_what_the_policies_say(old_database: Database) -> None:
    def seen_by(user: int | None, query: str) -> object:
        with old_database.connect(autocommit=False) as connection:
            connection.execute("SET LOCAL ROLE authenticated")
            if user is not None:
                connection.execute(
                    "SELECT set_config('request.jwt.claim.sub', md5('aicfg user ' || %s)::uuid::text, true)",
                    (str(user),),
                )
            row = connection.execute(query).fetchone()
            return row and row[0]

    prompts, settings = "SELECT count(*) FROM org_prompt_engineering", "SELECT count(*) FROM sys_rag"
    owner, admin, user = 1, 3, 9
    assert [seen_by(who, prompts) for who in (owner, admin, user, None)] == [40, 40, 0, 0]
    assert [seen_by(who, settings) for who in (owner, admin, user, None)] == [1, 1, 1, 1]
    assert seen_by(user, "SELECT count(*) FROM orgs") == 1
    assert seen_by(user, "SELECT count(*) FROM user_profiles") == 1


@pytest.mark.two_versions
def test_the_rows_are_varied_and_always_the_same(old_database: Database, server: Server) -> None:
    found = old_database.fingerprints()
    assert {name: count for name, (count, _) in found.items()} == {
        "auth.users": 24,
        "public.ai_models": 7,
        "public.org_prompt_engineering": 40,
        "public.orgs": 40,
        "public.sys_rag": 1,
        "public.user_profiles": 24,
    }
    # Another server, another version, the same rows.
    assert [found[table][1] for table in OLD_TABLES] == [PROMPTS_CHECKSUM, SETTINGS_CHECKSUM]
    [(nulls, empty, longest, toasted, odd)] = old_database.query(
        "SELECT count(*) FILTER (WHERE custom_system_prompt IS NULL),"
        " count(*) FILTER (WHERE custom_system_prompt = ''), max(length(custom_system_prompt)),"
        " (SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class WHERE oid = 'org_prompt_engineering'::regclass),"
        " count(*) FILTER (WHERE custom_context_prompt LIKE E'%%\\\\\\\\%%''%%')"
        " FROM org_prompt_engineering"
    )
    assert nulls
    assert empty
    assert longest > 5000
    assert toasted
    assert odd
    text = "".join(
        row[0] or "" for row in old_database.query("SELECT custom_system_prompt FROM org_prompt_engineering")
    )
    for script in "aяعאह请をカ말😀":
        assert script in text, script


@pytest.mark.two_versions
def test_each_test_has_a_database_of_its_own(old_database: Database, server: Server) -> None:
    before = old_database.schema_dump()
    assert "CREATE TABLE public.sys_rag" in before
    assert "restrict" not in before
    with server.database("old", servers.fill_old) as other:
        assert other.schema_dump() == before
        assert other.dump(*OLD_TABLES) == old_database.dump(*OLD_TABLES)
        other.query("DELETE FROM org_prompt_engineering")
        assert other.fingerprints() != old_database.fingerprints()


@pytest.mark.two_versions
def test_tcp_asks_for_the_password(old_database: Database) -> None:
    with psycopg.connect(old_database.tcp_url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("postgres",)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(old_database.tcp_url.replace(servers.PASSWORD.replace("!", "%21"), "wrong"))


def test_bulk_rows_are_added_up_to_a_number(old_database: Database) -> None:
    from aicfg_pipeline.spec.load import bundled_sql

    script = (bundled_sql() / "demo" / "bulk_rows.sql").read_bytes()
    for wanted, connection in ((500, old_database.connect()), (1200, old_database.admin())):
        connection.execute("SELECT set_config('aicfg.organisations', %s, false)", (str(wanted),))
        connection.execute(script)
        found = old_database.query(
            "SELECT count(*), (SELECT count(*) FROM orgs), avg(pg_column_size(p.*))::int FROM org_prompt_engineering p"
        )
        assert found[0][:2] == (wanted, wanted)
        assert 600 < found[0][2] < 1100
        assert connection.execute("SHOW session_replication_role").fetchone() == ("origin",)


# --- the tests' own tool ------------------------------------------------------------------------------------------


def test_writers_know_what_they_wrote(old_database: Database) -> None:
    with Writers(old_database.url, threads=4) as writers:
        writers.wait_for(400)
    assert writers.errors == []
    assert 0 < writers.longest_wait_ms < 10_000
    assert {entry.kind for entry in writers.journal} >= {"insert", "update", "exchange", "delete_org", "settings"}
    with old_database.connect() as connection:
        assert writers.verify(connection) == []


@pytest.mark.two_versions
def test_writers_go_through_whatever_has_the_old_name(migrated_database: Database) -> None:
    assert migrated_database.exists(OLD_TABLES[0]) == "v"
    with Writers(migrated_database.url, threads=3) as writers:
        writers.wait_for(150)
    assert writers.errors == []
    with migrated_database.connect() as connection:
        assert writers.verify(connection) == []


def test_writers_notice_what_is_lost_changed_or_back_again(old_database: Database) -> None:
    with Writers(old_database.url, threads=2) as writers:
        writers.wait_for(100)
    mine = f"{writers.token}:%"
    keys = old_database.query("SELECT id FROM org_prompt_engineering WHERE custom_context_prompt LIKE %s", (mine,))
    [(lost,), (changed,), (stale,)] = keys[:3]
    old_database.query("UPDATE org_prompt_engineering SET org_system_prompt = 'other' WHERE id = %s", (changed,))
    old_database.query("DELETE FROM org_prompt_engineering WHERE id = %s", (lost,))
    old_database.query("UPDATE org_prompt_engineering SET id = gen_random_uuid() WHERE id = %s", (stale,))
    old_database.query("UPDATE sys_rag SET min_chunk_size_tokens = -1, max_chunk_size_tokens = -1")
    with old_database.connect() as connection:
        kinds = sorted(oddity.kind for oddity in writers.verify(connection))
    assert kinds == ["lost", "lost", "odd", "odd", "odd", "resurrected"]


def test_writers_outlive_a_server_that_is_killed(old_database: Database, server: Server) -> None:
    with Writers(old_database.url, threads=3) as writers:
        writers.wait_for(60)
        server.cluster.stop("immediate")
        server.cluster.start()
        writers.wait_for(60)
    assert writers.errors
    with old_database.connect() as connection:
        assert writers.verify(connection) == []
